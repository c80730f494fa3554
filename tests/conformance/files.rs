//! How files are written.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{bench::Bench, common::black_box::until};

#[tokio::test]
async fn a_new_file_and_its_folders_have_the_usual_modes() {
    let bench = Bench::new().await;
    bench.write("a.hbs", "x\n");
    let destination = bench.path("out/new/deeper/a");
    let template = format!("{}:{}", bench.path("a.hbs").display(), destination.display());
    let ended = bench.once(&["--template", &template]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let mode = |name: &str| fs::metadata(bench.path(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(["out/new", "out/new/deeper", "out/new/deeper/a"].map(mode), [0o755, 0o755, 0o644]);
}

#[tokio::test]
async fn a_missing_folder_that_must_not_be_created_is_reported() {
    let bench = Bench::new().await;
    bench.write("a.hbs", "x\n");
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\n[[target.template]]\nsource = \"{}\"\ndestination = \"{}\"\n\
         create_dirs = false\n",
        bench.path("a.hbs").display(),
        bench.path("out/new/a").display()
    );
    bench.write("portreeve.toml", &config);
    let ended = bench.once(&["--config", &bench.path("portreeve.toml").display().to_string(), "--deadline", "2s"]);
    assert!(
        ended.code == Some(1) && ended.log.contains("out/new/a") && ended.log.contains("directory"),
        "{}",
        ended.log
    );
    assert!(!bench.path("out/new").exists());
}

#[tokio::test]
async fn a_reader_never_sees_half_a_file() {
    let bench = Bench::new().await;
    let line = "0123456789abcdef";
    let template = bench.template("a", "{{#each (split (key \"n\") \",\")}}0123456789abcdef{{this}}\n{{/each}}");
    let text = |digit: char| format!("{line}{digit}\n").repeat(2000);
    let value = |digit: char| vec![digit.to_string(); 2000].join(",");
    bench.agent.put("/v1/kv/n", value('0')).await;
    let daemon = bench.start(&["--template", &template]);
    until("the file", || bench.read("out/a").is_some());
    let whole: Vec<_> = ('0'..='9').map(text).collect();
    let (done, path) = (Arc::new(AtomicBool::new(false)), bench.path("out/a"));
    let reader = std::thread::spawn({
        let (done, whole) = (Arc::clone(&done), whole.clone());
        move || {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let seen = fs::read_to_string(&path).expect("it is always there");
                assert!(whole.contains(&seen), "half a file: {} bytes", seen.len());
                reads += 1;
            }
            reads
        }
    });
    for round in 0..40 {
        let digit = char::from_digit(round % 10, 10).expect("a digit");
        bench.agent.put("/v1/kv/n", value(digit)).await;
        until("this version", || bench.read("out/a").as_ref() == Some(&text(digit)));
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("no half a file") > 40);
    assert_eq!(daemon.stop(), Some(0));
    let left: Vec<_> =
        fs::read_dir(bench.path("out")).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["a"]);
}

#[tokio::test]
async fn files_are_read_from_the_allowed_directory_only() {
    let bench = Bench::new().await;
    fs::create_dir_all(bench.path("files/sub")).expect("folders");
    bench.write("files/sub/a", "hello");
    bench.write("secret", "x");
    std::os::unix::fs::symlink(bench.path("secret"), bench.path("files/link")).expect("a link");
    let files = bench.path("files").display().to_string();
    let once = |text: &str| {
        let template = bench.template("f", text);
        let ended = bench.once(&["--template", &template, "--files", &files, "--deadline", "3s"]);
        (ended.code, ended.log)
    };
    assert_eq!(once("{{file \"sub/a\"}}").0, Some(0));
    assert_eq!(bench.read("out/f").as_deref(), Some("hello"));
    for path in ["../secret", "link", "sub/../../secret", "/etc/passwd"] {
        let (code, log) = once(&format!("{{{{file \"{path}\"}}}}"));
        assert!(code == Some(1) && log.contains("outside"), "{path}: {code:?} {log}");
    }
    let daemon = {
        let template = bench.template("g", "{{file \"sub/a\"}}");
        bench.start(&["--template", &template, "--files", &files])
    };
    until("the file", || bench.read("out/g").as_deref() == Some("hello"));
    bench.write("files/sub/a", "hello again");
    until("its change", || bench.read("out/g").as_deref() == Some("hello again"));
    fs::remove_file(bench.path("files/sub/a")).expect("it is there");
    daemon.until_logged("there is no such file");
    assert_eq!(bench.read("out/g").as_deref(), Some("hello again"));
    bench.write("files/sub/a", "back");
    until("its return", || bench.read("out/g").as_deref() == Some("back"));
}

#[tokio::test]
async fn a_file_keeps_its_mode_and_owner_and_a_symlink_stays_one() {
    let bench = Bench::new().await;
    bench.write("out/real", "old");
    fs::set_permissions(bench.path("out/real"), fs::Permissions::from_mode(0o600)).expect("ours");
    std::os::unix::fs::chown(bench.path("out/real"), Some(1234), Some(4321)).expect("the tests run as root");
    std::os::unix::fs::symlink("real", bench.path("out/a")).expect("a link");
    let ended = bench.once(&["--template", &bench.template("a", "{{key \"app/max\"}}")]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(fs::read_link(bench.path("out/a")).ok(), Some("real".into()));
    let file = fs::metadata(bench.path("out/real")).expect("it is there");
    assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (0o600, 1234, 4321));
    assert_eq!(bench.read("out/real").as_deref(), Some("15"));
}
