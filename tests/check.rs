//! `portreeve check` as a black box.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder with these files. The program runs in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the test owns it");
    }
    folder
}

/// Runs `portreeve check` without a registry: nothing listens at this address.
fn check(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("CONSUL_HTTP_ADDR", "127.0.0.1:1")
        .env("PATH", "/bin:/usr/bin")
        .env("ZONE", "eu");
    command.current_dir(folder.path()).arg("check").args(arguments).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_valid_configuration_is_summarized_and_no_file_changes() {
    let template = "{{env \"ZONE\"}}{{#each (services)}}{{#each (service name)}}{{id}}{{/each}}{{/each}}{{key \"a\"}}";
    let folder = folder(&[("web.hbs", template)]);
    let output = check(&folder, &["--template", "web.hbs:web.conf:true"]);
    let expected = "target web.conf (command)
  web.hbs -> web.conf
    asks services
    asks key \"a\"
targets 1, templates 1: errors 0, warnings 0
";
    assert_eq!((stdout(&output).as_str(), output.status.code()), (expected, Some(0)));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<PathBuf> =
        fs::read_dir(folder.path()).expect("the test owns it").map(|entry| entry.expect("a file").path()).collect();
    assert_eq!(left, [folder.path().join("web.hbs")]);
}

#[test]
fn lines_that_run_together_are_a_warning() {
    let folder = folder(&[("web.hbs", "a\n{{#each (service \"web\")}}\nserver {{address}};{{/each}}\nb\n")]);
    let output = check(&folder, &["--template", "web.hbs:web.conf:true"]);
    let stdout = stdout(&output);
    assert!(stdout.contains("warning: web.hbs:2:1: {{#each}} stands alone on its line"), "{stdout}");
    assert!(stdout.contains("its {{/each}} in line 3 does not") && stdout.contains("errors 0, warnings 1"), "{stdout}");
    assert_eq!(output.status.code(), Some(0));
    fs::write(folder.path().join("web.hbs"), "{{#each (service \"web\")}}\nserver {{address}};\n{{/each}}\n")
        .expect("the test owns it");
    let output = check(&folder, &["--template", "web.hbs:web.conf:true"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("warnings 0"));
}

#[test]
fn all_errors_are_reported_in_one_run() {
    let config = "
        [[target]]
        name = 'edge'
        kind = 'nginx'
        binary = 'no-such-nginx'
        [[target.template]]
        source = 'a.hbs'
        destination = 'a.conf'
        [[target.template]]
        source = 'none.hbs'
        destination = 'b.conf'
        [[target]]
        name = 'app'
        kind = 'command'
        check = ['no-such-check', '{{candidate}}']
        reload = ['no-such-reload']
        [[target.template]]
        source = 'b.hbs'
        destination = 'not/here/c.conf'
        create_dirs = false
        [[target.template]]
        source = 'c.hbs'
        destination = 'nor/here/e.conf'
        [[target.template]]
        source = 'c.hbs'
        destination = 'file/d.conf'
        [[target.template]]
        source = 'c.hbs'
        destination = 'a.conf'
    ";
    let folder = folder(&[
        ("portreeve.toml", config),
        ("a.hbs", "{{#if}}{{/if}}"),
        ("b.hbs", "x\n{{nothing}}"),
        ("c.hbs", "fine"),
        ("file", ""),
    ]);
    let output = check(&folder, &["--config", "portreeve.toml"]);
    let text = stdout(&output);
    let all = [
        "error: target edge: a template is wrong: a.hbs:1:1: `if` takes 1 argument, not 0\n   |\n",
        "error: target edge: cannot read the template none.hbs: No such file",
        "error: b.hbs:2:1: there is no value `nothing` here\n   |\n",
        "error: target app: file/d.conf: ",
        "/file is not a directory\n",
        "error: a.conf: is the destination of two targets, edge and app\n",
        "warning: target edge: there is no program no-such-nginx here\n",
        "warning: target app: there is no program no-such-check here\n",
        "warning: target app: there is no program no-such-reload here\n",
        "warning: target app: there is no directory ",
        "targets 2, templates 6: errors 5, warnings 4\n",
    ];
    for part in all {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    // `render` would create the other missing directories, so only this one is reported.
    assert_eq!(text.matches("there is no directory").count(), 1, "{text}");
    assert_eq!(output.status.code(), Some(1));
    let output = check(&folder, &["--config", "portreeve.toml", "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let count = |key: &str| json[key].as_array().map(Vec::len);
    assert_eq!((count("errors"), count("warnings"), count("targets")), (Some(5), Some(4), Some(2)));
    assert_eq!(json["targets"][1]["templates"][0]["source"], "b.hbs");
}

#[test]
fn a_wrong_configuration_file_is_an_error_too() {
    let folder = folder(&[("portreeve.toml", "[render]\nstate = 1\n"), ("a.hbs", "a")]);
    let output = check(&folder, &["--config", "portreeve.toml"]);
    assert!(
        stdout(&output).contains("unknown field `state`") && stdout(&output).contains("line 2"),
        "{}",
        stdout(&output)
    );
    assert_eq!(output.status.code(), Some(1));
    let nothing = check(&folder, &[]);
    assert!(stdout(&nothing).starts_with("error: nothing to render"), "{}", stdout(&nothing));
    assert_eq!(nothing.status.code(), Some(1));
}

#[test]
fn the_exit_code_distinguishes_errors() {
    let folder = folder(&[("a.hbs", "a")]);
    let code = |arguments: &[&str]| check(&folder, arguments).status.code();
    let here = "a.hbs:a.conf:no-such-program";
    assert_eq!(code(&["--template", here]), Some(0));
    assert_eq!(code(&["--template", here, "--warnings", "deny"]), Some(1));
    assert_eq!(code(&["--template", "a.hbs"]), Some(2));
    assert_eq!(code(&["--no-such-flag"]), Some(2));
}

#[test]
fn the_child_program_is_checked() {
    let target = "[[target]]\nname = 'a'\nkind = 'command'\n[[target.template]]\nsource = 'a.hbs'\ndestination = 'a'\n";
    for (exec, code, expected) in [
        ("command = 'app'\ntargets = ['b']", 1, "[exec] `targets`: there is no target \"b\""),
        ("splay = '1s'", 0, "[exec] has settings, but no `command`"),
    ] {
        let folder = folder(&[("a.hbs", "a"), ("portreeve.toml", &format!("{target}[exec]\n{exec}\n"))]);
        let output = check(&folder, &["--config", "portreeve.toml"]);
        assert!(output.status.code() == Some(code) && stdout(&output).contains(expected), "{}", stdout(&output));
    }
}

/// It becomes a target of kind `nginx`, or a warning says that files are not checked, and what to configure.
#[test]
fn a_command_that_reloads_nginx_is_recognized_or_warned_about() {
    let folder = folder(&[("a.hbs", "x y;\n")]);
    let dry_run = |argument: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command
            .env_clear()
            .env("PORTREEVE_CONFIG", "/dev/null")
            .env("PATH", "/bin:/usr/bin:/usr/sbin")
            .current_dir(folder.path());
        command.args(["render", "--dry-run", "--state-dir", "state", "--template", argument]);
        let output = command.env("CONSUL_HTTP_ADDR", "127.0.0.1:1").output().expect("the program starts");
        (stdout(&output), String::from_utf8(output.stderr).expect("text"))
    };
    for command in [
        "service nginx reload",
        "/etc/init.d/nginx reload",
        "sh -c 'nginx -t && nginx -s reload'",
        "kill -HUP $(cat /run/nginx.pid)",
        "sh -c 'nginx -tq && kill -s HUP `cat /run/nginx.pid`'",
    ] {
        let stdout = stdout(&check(&folder, &["--template", &format!("a.hbs:out:{command}")]));
        assert!(stdout.contains("target out (nginx)") && !stdout.contains("no check"), "{command}: {stdout}");
    }
    for command in [
        "docker exec nginx nginx -s reload",
        "sudo systemctl reload nginx",
        "openresty -s reload",
        "docker compose exec edge sh -c 'nginx -t && nginx -s reload'",
        "pkill -HUP nginx",
        "sh -c 'nginx -s reload; true'",
    ] {
        let argument = format!("a.hbs:out:{command}");
        let stdout = stdout(&check(&folder, &["--template", &argument]));
        let (printed, logged) = dry_run(&argument);
        for text in [&stdout, &logged] {
            assert!(text.contains("no check, no escaping: `") && text.contains("; write `nginx -s reload`"), "{text}");
        }
        assert!(printed.contains("nothing checks it") && !printed.contains("would be taken"), "{command}: {printed}");
    }
    let refused = check(&folder, &["--template", "a.hbs:out:kill -HUP $(cat /run/app.pid)"]);
    let text = stdout(&refused) + &String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("means something to a shell only") && text.contains("write sh -c"), "{text}");
}

/// `nginx -V` of the nginx on PATH gives the path of its configuration; a target may name another one.
#[test]
fn what_an_nginx_includes_is_escaped_for_nginx() {
    let value = "{{concat \"a; \" \"b\"}}";
    let folder = folder(&[("a.hbs", value)]);
    let path = |below: &str| folder.path().join(below).display().to_string();
    let write = |below: &str, text: &str| fs::write(folder.path().join(below), text).expect("the test owns it");
    fs::create_dir_all(folder.path().join("bin")).expect("the test owns it");
    write("main.conf", "http { include sites/*.conf; include part; ssl_certificate pem; }");
    write("other.conf", "http { include more/*/x; }");
    write("part", "include deeper;");
    write("bin/nginx", &format!("#!/bin/sh\necho 'configure arguments: --conf-path={}' >&2\n", path("main.conf")));
    fs::set_permissions(path("bin/nginx"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("the test owns it");
    let found = |destination: &str, more: &str| {
        let target = |name: &str, kind: &str| format!("[[target]]\nname = '{name}'\nkind = '{kind}'\n");
        let template = |more: &str| format!("[[target.template]]\nsource = 'a.hbs'\ndestination = {more}\n");
        let named = format!("conf = '{}'\n{}", path("other.conf"), template("'own.conf'\nescape = 'none'"));
        let config =
            [target("app", "command"), template(&format!("'{destination}'\n{more}")), target("n", "nginx"), named];
        write("portreeve.toml", &config.concat());
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command
            .env_clear()
            .env("PORTREEVE_CONFIG", "/dev/null")
            .env("PATH", format!("{}:/bin:/usr/bin:/usr/sbin", path("bin")))
            .current_dir(folder.path());
        let output = command.args(["check", "--config", "portreeve.toml"]).output().expect("the program starts");
        let stdout = stdout(&output);
        assert_eq!(output.status.success(), !stdout.contains("error:"), "{stdout}");
        stdout.contains("holds ';', which has a meaning of its own in this file")
    };
    for (destination, more, escaped) in [
        ("sites/a.conf", "", true),
        ("./x/../sites/a.conf", "", true),
        ("part", "", true),
        ("deeper", "", true),
        ("more/y/x", "", true),
        ("sites/a.txt", "", false),
        ("pem", "", false),
        ("sites/a.conf", "escape = 'none'", false),
        ("app.conf", "", false),
    ] {
        assert_eq!(found(destination, more), escaped, "{destination} {more}");
    }
    write("main.conf", "");
    assert!(!found("sites/a.conf", ""), "nothing includes it");
    fs::remove_file(folder.path().join("main.conf")).expect("the test owns it");
    assert!(!found("sites/a.conf", ""), "nobody knows");
}

/// Paths in flags and variables are relative to the working directory.
#[test]
fn a_relative_path_in_the_file_is_relative_to_the_directory_of_the_file() {
    let folder = folder(&[]);
    let path = |below: &str| folder.path().join(below);
    let write = |below: &str, text: &str| {
        fs::create_dir_all(path(below).parent().expect("it is below")).expect("the test owns it");
        fs::write(path(below), text).expect("the test owns it");
    };
    let config = "
        [consul]
        address = 'https://127.0.0.1:1'
        ca_cert = 'tls/ca.pem'
        [render]
        state_dir = 'state'
        partials = 'partials'
        files = 'files'
        [[target]]
        name = 'app'
        kind = 'command'
        check = ['test', '-e', '{{candidate}}']
        [[target.template]]
        source = 'a.hbs'
        destination = 'out/a'
    ";
    write("conf/portreeve.toml", config);
    write("conf/a.hbs", "{{> part}} {{file \"f\"}}\n");
    write("conf/partials/part.hbs", "of the file");
    write("partials/part.hbs", "of the working directory");
    write("conf/files/f", "1");
    write("other/files/f", "2");
    std::os::unix::fs::symlink("../conf/portreeve.toml", path("other/link.toml")).expect("the test owns it");
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command.env_clear().env("PATH", "/bin:/usr/bin").envs(variables.iter().copied()).current_dir(folder.path());
        command.args(arguments).output().expect("the program starts")
    };
    let checked = stdout(&run(&["check", "--config", "conf/portreeve.toml"], &[]));
    assert!(checked.contains("\n  conf/a.hbs -> conf/out/a\n"), "{checked}");
    assert!(checked.contains("consul.ca_cert: cannot use conf/tls/ca.pem: "), "{checked}");

    write("conf/portreeve.toml", &config.replace("https:", "http:"));
    let render = ["render", "--once"];
    let whole = path("conf/portreeve.toml").display().to_string();
    for (variables, flags, written) in [
        (&[("PORTREEVE_CONFIG", "conf/portreeve.toml")][..], &[][..], "of the file 1\n"),
        (&[], &["--config", &whole], "of the file 1\n"),
        (&[], &["--config", &whole, "--partials", "partials"], "of the working directory 1\n"),
        (&[("PORTREEVE_RENDER_PARTIALS", "partials")], &["--config", &whole], "of the working directory 1\n"),
        (&[("PORTREEVE_RENDER_FILES", "other/files")], &["--config", &whole], "of the file 2\n"),
    ] {
        let output = run(&[&render, flags].concat(), variables);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{variables:?} {flags:?}: {log}");
        assert_eq!(fs::read_to_string(path("conf/out/a")).expect("written"), written, "{variables:?} {flags:?}: {log}");
    }
    assert!(path("conf/state/lock").exists() && !path("state").exists() && !path("out").exists());

    // Relative to the directory of the given path, not to that of the symlink's target.
    let linked = stdout(&run(&["check", "--config", "other/link.toml"], &[]));
    assert!(linked.contains("cannot read the partials at other/partials"), "{linked}");
}

/// A pipe, a device, a directory or a file that is too large is an immediate error.
#[test]
fn a_configuration_that_is_not_a_regular_file_is_not_read() {
    let folder = folder(&[("a.hbs", "a")]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("the test owns it");
    fs::File::create(path("large")).and_then(|file| file.set_len(1 << 34)).expect("the test owns it");
    for (file, why) in [
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("large", "larger than 16 MiB"),
        (".", "a directory"),
    ] {
        let output = check(&folder, &["--config", file]);
        assert!(
            stdout(&output).contains(&format!("cannot read the configuration file {file}: it is {why}")),
            "{output:?}"
        );
        assert_eq!(output.status.code(), Some(1));
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command
            .env_clear()
            .env("PORTREEVE_CONFIG", "/dev/null")
            .env("CONSUL_HTTP_TOKEN_FILE", file)
            .current_dir(folder.path());
        command.args(["render", "--dry-run", "--template", "k.hbs:k"]).env("CONSUL_HTTP_ADDR", "127.0.0.1:1");
        fs::write(path("k.hbs"), "{{key \"a\"}}").expect("the test owns it");
        let output = command.args(["--deadline", "2s", "--log-format", "json"]).output().expect("the program starts");
        let text = String::from_utf8_lossy(&output.stderr);
        let reason = format!("consul.token_file {file}: it is {}", why.replace("16 MiB", "64 KiB"));
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_told = |line: Value| line["level"] == "WARN" && line["reason"] == reason.as_str();
        assert!(lines.any(is_told), "{reason} in {text}");
    }
}
