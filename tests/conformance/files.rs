//! How files are written.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{common::black_box::until, harness::Harness};

#[tokio::test]
async fn a_new_file_and_its_folders_have_the_usual_modes() {
    let harness = Harness::new().await;
    harness.write("a.hbs", "x\n");
    let destination = harness.path("out/new/deeper/a");
    let template = format!("{}:{}", harness.path("a.hbs").display(), destination.display());
    let ended = harness.once(&["--template", &template]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let mode = |name: &str| fs::metadata(harness.path(name)).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(["out/new", "out/new/deeper", "out/new/deeper/a"].map(mode), [0o755, 0o755, 0o644]);
}

#[tokio::test]
async fn a_missing_folder_that_must_not_be_created_is_reported() {
    let harness = Harness::new().await;
    harness.write("a.hbs", "x\n");
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\n[[target.template]]\nsource = \"{}\"\ndestination = \"{}\"\n\
         create_dirs = false\n",
        harness.path("a.hbs").display(),
        harness.path("out/new/a").display()
    );
    harness.write("portreeve.toml", &config);
    let ended = harness.once(&["--config", &harness.path("portreeve.toml").display().to_string(), "--deadline", "2s"]);
    assert!(
        ended.code == Some(1) && ended.log.contains("out/new/a") && ended.log.contains("directory"),
        "{}",
        ended.log
    );
    assert!(!harness.path("out/new").exists());
}

#[tokio::test]
async fn a_reader_never_sees_an_incomplete_file() {
    let harness = Harness::new().await;
    let line = "0123456789abcdef";
    let template = harness.template("a", "{{#each (split (key \"n\") \",\")}}0123456789abcdef{{this}}\n{{/each}}");
    let text = |digit: char| format!("{line}{digit}\n").repeat(2000);
    let value = |digit: char| vec![digit.to_string(); 2000].join(",");
    harness.agent.put("/v1/kv/n", value('0')).await;
    let daemon = harness.start(&["--template", &template]);
    until("the file", || harness.read("out/a").is_some());
    let whole: Vec<_> = ('0'..='9').map(text).collect();
    let (done, path) = (Arc::new(AtomicBool::new(false)), harness.path("out/a"));
    let reader = std::thread::spawn({
        let (done, whole) = (Arc::clone(&done), whole.clone());
        move || {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let seen = fs::read_to_string(&path).expect("it always exists");
                assert!(whole.contains(&seen), "half a file: {} bytes", seen.len());
                reads += 1;
            }
            reads
        }
    });
    for round in 0..40 {
        let digit = char::from_digit(round % 10, 10).expect("a digit");
        harness.agent.put("/v1/kv/n", value(digit)).await;
        until("this version", || harness.read("out/a").as_ref() == Some(&text(digit)));
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("a complete file") > 40);
    assert_eq!(daemon.stop(), Some(0));
    let left: Vec<_> =
        fs::read_dir(harness.path("out")).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["a"]);
}

#[tokio::test]
async fn files_are_read_from_the_allowed_directory_only() {
    let harness = Harness::new().await;
    fs::create_dir_all(harness.path("files/sub")).expect("folders");
    harness.write("files/sub/a", "hello");
    harness.write("secret", "x");
    std::os::unix::fs::symlink(harness.path("secret"), harness.path("files/link")).expect("a link");
    let files = harness.path("files").display().to_string();
    let once = |text: &str| {
        let template = harness.template("f", text);
        let ended = harness.once(&["--template", &template, "--files", &files, "--deadline", "3s"]);
        (ended.code, ended.log)
    };
    assert_eq!(once("{{file \"sub/a\"}}").0, Some(0));
    assert_eq!(harness.read("out/f").as_deref(), Some("hello"));
    for path in ["../secret", "link", "sub/../../secret", "/etc/passwd"] {
        let (code, log) = once(&format!("{{{{file \"{path}\"}}}}"));
        assert!(code == Some(1) && log.contains("outside"), "{path}: {code:?} {log}");
    }
    let daemon = {
        let template = harness.template("g", "{{file \"sub/a\"}}");
        harness.start(&["--template", &template, "--files", &files])
    };
    until("the file", || harness.read("out/g").as_deref() == Some("hello"));
    harness.write("files/sub/a", "hello again");
    until("its change", || harness.read("out/g").as_deref() == Some("hello again"));
    fs::remove_file(harness.path("files/sub/a")).expect("it exists");
    daemon.until_logged("there is no such file");
    assert_eq!(harness.read("out/g").as_deref(), Some("hello again"));
    harness.write("files/sub/a", "back");
    until("its return", || harness.read("out/g").as_deref() == Some("back"));
}

#[tokio::test]
async fn a_file_keeps_its_mode_and_owner_and_a_symlink_stays_one() {
    let harness = Harness::new().await;
    harness.write("out/real", "old");
    fs::set_permissions(harness.path("out/real"), fs::Permissions::from_mode(0o600)).expect("the test owns it");
    std::os::unix::fs::chown(harness.path("out/real"), Some(1234), Some(4321)).expect("the tests run as root");
    std::os::unix::fs::symlink("real", harness.path("out/a")).expect("a link");
    let ended = harness.once(&["--template", &harness.template("a", "{{key \"app/max\"}}")]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(fs::read_link(harness.path("out/a")).ok(), Some("real".into()));
    let file = fs::metadata(harness.path("out/real")).expect("it exists");
    assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (0o600, 1234, 4321));
    assert_eq!(harness.read("out/real").as_deref(), Some("15"));
}
