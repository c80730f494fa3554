//! `--once`: its exit codes, and errors before its pass.

use crate::harness::Harness;

#[tokio::test]
async fn the_exit_code_reports_whether_all_files_are_written() {
    let harness = Harness::new().await;
    let good = harness.template("good", "{{key \"app/max\"}}");
    let missing = harness.template("missing", "{{key \"nope\"}}");
    let wrong = harness.template("wrong", "{{#if}}");
    let failing = format!("{}:false", harness.template("failing", "x"));
    let code = |templates: &[&str]| {
        let mut arguments = vec!["--deadline", "2s"];
        arguments.extend(templates.iter().flat_map(|template| ["--template", template]));
        let ended = harness.once(&arguments);
        (ended.code, ended.log)
    };
    assert_eq!(code(&[&good]).0, Some(0), "written");
    assert_eq!(code(&[&good]).0, Some(0), "equal");
    let (ended, log) = code(&[&missing, &good]);
    assert!(ended == Some(1) && log.contains("key \"nope\""), "{ended:?} {log}");
    let (ended, log) = code(&[&failing]);
    assert!(ended == Some(1) && log.contains("exit status: 1"), "{ended:?} {log}");
    assert_eq!(harness.read("out/failing"), None, "rolled back");
    let (ended, log) = code(&[&wrong]);
    assert!(ended == Some(2) && log.contains("wrong.hbs:1:1"), "{ended:?} {log}");
}

#[tokio::test]
async fn unknown_arguments_are_refused_before_any_write() {
    let harness = Harness::new().await;
    let good = harness.template("good", "x");
    for (config, words) in [
        ("[consul]\nadress = \"x\"\n", "unknown field `adress`"),
        ("[render]\nonce = true\n", "unknown field `once`"),
        ("[[target]]\nname = \"a\"\nkind = \"command\"\nwait = \"1s\"\n", "unknown field `wait`"),
        ("not toml", "portreeve.toml"),
    ] {
        harness.write("portreeve.toml", config);
        let path = harness.path("portreeve.toml").display().to_string();
        let ended = harness.once(&["--config", &path, "--template", &good]);
        assert!(ended.code == Some(2) && ended.log.contains(words), "{config}: {:?} {}", ended.code, ended.log);
    }
    for (arguments, words) in [
        (vec!["--template", &good, "left-over"], "left-over"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (vec!["--template", "/no/such/file.hbs:/out"], "/no/such/file.hbs"),
    ] {
        let ended = harness.once(&arguments);
        assert!(ended.code == Some(2) && ended.log.contains(words), "{arguments:?}: {:?} {}", ended.code, ended.log);
    }
    assert_eq!(harness.read("out/good"), None);
}
