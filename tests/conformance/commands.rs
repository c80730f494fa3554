//! The reload command.

use std::{fs, path::Path};

use crate::{common::black_box::until, harness::Harness};

#[tokio::test]
async fn the_commands_of_different_targets_run_once_each_with_our_environment() {
    let harness = Harness::new().await;
    let log = harness.path("log");
    let command = |word: &str| format!("sh -c 'echo {word} $CONSUL_HTTP_ADDR >> {}.{word}'", log.display());
    let templates =
        ["a", "b"].map(|name| format!("{}:{}", harness.template(name, "{{key \"app/max\"}}"), command(name)));
    let ended = harness.once(&["--template", &templates[0], "--template", &templates[1]]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for name in ["a", "b"] {
        assert_eq!(harness.read(&format!("log.{name}")), Some(format!("{name} {}\n", harness.agent.address())));
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_its_children() {
    let harness = Harness::new().await;
    harness.write("out/a", "old");
    harness.write("a.hbs", "{{key \"app/max\"}}");
    let pid = harness.path("pid");
    // The second run, after the rollback, exits immediately.
    let script =
        format!("if test -e {0}; then exit; fi; sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\nreload = [\"sh\", \"-c\", \"{script}\"]\nreload_timeout = \"1s\"\n\
         [[target.template]]\nsource = \"{}\"\ndestination = \"{}\"\n",
        harness.path("a.hbs").display(),
        harness.path("out/a").display()
    );
    harness.write("portreeve.toml", &config);
    let daemon = harness.start(&["--config", &harness.path("portreeve.toml").display().to_string()]);
    until("its child", || pid.exists());
    let child = fs::read_to_string(&pid).expect("it exists").trim().to_owned();
    daemon.until_logged("rolled back");
    until("the child's end", || !runs(&child));
    assert_eq!(harness.read("out/a").as_deref(), Some("old"));
    assert_eq!(daemon.stop(), Some(0));
}

/// Whether the process is running. A zombie is not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
