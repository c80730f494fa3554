//! `portreeve lint` as a black box: each `tests/lint/NAME.yml` gives the output in `NAME.txt`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn lint(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .current_dir(directory())
        .arg("lint")
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn every_file_gives_its_expected_findings() {
    let mut files = 0;
    for expected in fs::read_dir(directory()).expect("the fixtures").map(|entry| entry.expect("a file").path()) {
        if expected.extension().is_some_and(|extension| extension == "txt") {
            let file = expected.with_extension("yml");
            let name = file.file_name().and_then(|name| name.to_str()).expect("text");
            let (output, expected) = (lint(&[name]), fs::read_to_string(&expected).expect("text"));
            assert_eq!(stdout(&output), expected, "{name}");
            let clean = !expected.contains(": error[") && !expected.contains(": warning[");
            assert_eq!(output.status.code(), Some(i32::from(!clean)), "{name}");
            files += 1;
        }
    }
    assert_eq!(files, 12);
}

#[test]
fn an_invalid_file_is_reported_with_its_position_and_exit_code_2() {
    let cases = [
        ("broken.yml", "portreeve: broken.yml:4:10: "),
        ("doubled.yml", "portreeve: doubled.yml:4:5: the key \"image\" is already defined at line 3\n"),
        ("keys.txt", "portreeve: keys.txt:"),
        ("other.yml", "portreeve: other.yml:1:1: it has no services: is it a Compose file?\n"),
        (
            "listed.yml",
            "portreeve: listed.yml:2:3: services is a list, but Compose accepts only a mapping of their names\n",
        ),
        ("missing.yml", "portreeve: cannot read missing.yml: "),
        ("utf16.yml", "portreeve: utf16.yml: the file is UTF-16, and is read as UTF-8 only: save it as UTF-8\n"),
    ];
    for (file, expected) in cases {
        let output = lint(&["clean.yml", file]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{file}");
    }
    assert_eq!(lint(&[]).status.code(), Some(2));
}

#[test]
fn warnings_alone_can_be_allowed() {
    assert_eq!(lint(&["names.yml"]).status.code(), Some(1));
    assert_eq!(lint(&["names.yml", "--warnings", "allow"]).status.code(), Some(0));
    assert_eq!(lint(&["ids.yml", "--warnings", "allow"]).status.code(), Some(1));
}

#[test]
fn json_is_for_programs() {
    let output = lint(&["--format", "json", "clean.yml", "ids.yml"]);
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found.len(), 5);
    let first = &found[0];
    assert_eq!((&first["file"], &first["line"], &first["column"]), (&"ids.yml".into(), &4.into(), &19.into()));
    assert_eq!((&first["severity"], &first["rule"]), (&"error".into(), &"id".into()));
    assert_eq!(first["service"], "a");
}

#[test]
fn the_settings_of_register_are_used() {
    let quiet = |arguments: &[&str]| stdout(&lint(arguments)).contains("quiet: SERVICE_NAME has no effect");
    assert!(quiet(&["ports.yml"]));
    assert!(!quiet(&["ports.yml", "--internal"]));
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "[register]\ninternal = true\n").expect("a file");
    let config = file.path().to_str().expect("text");
    assert!(!quiet(&["ports.yml", "--config", config]));
    assert!(quiet(&["ports.yml", "--config", config, "--internal=false"]));
}
