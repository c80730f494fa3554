use std::{fs, path::Path};

use super::{folder::seal, *};

fn open() -> (tempfile::TempDir, StateDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let state = StateDir::open(&directory.path().join("state")).expect("it is not locked");
    (directory, state)
}

#[test]
fn a_value_is_read_back_by_the_next_process() {
    let (directory, state) = open();
    let folder = state.folder("targets", "edge");
    assert_eq!(folder.read::<Vec<u8>>("pending").expect("it can be read"), None);
    folder.write("pending", &vec![1, 2]).expect("it is ours");
    folder.write_bytes("former", b"\xff\n\0").expect("it is ours");
    drop((folder, state));
    let folder = StateDir::open(&directory.path().join("state")).expect("free again").folder("targets", "edge");
    assert_eq!(folder.read("pending").expect("it can be read"), Some(vec![1, 2]));
    assert_eq!(folder.read_bytes("former").expect("it can be read").as_deref(), Some(&b"\xff\n\0"[..]));
    let mut names = folder.names().expect("it can be listed");
    names.sort();
    assert_eq!(names, ["former", "pending"]);
    folder.remove("pending").expect("it is ours");
    folder.remove("pending").expect("it is absent");
    assert_eq!(folder.names().expect("it can be listed"), ["former"]);
}

#[test]
fn temporary_files_of_a_killed_process_are_removed() {
    let (directory, state) = open();
    state.folder("targets", "edge").write("pending", &7).expect("it is ours");
    let path = directory.path().join("state/targets/edge");
    fs::write(path.join(".x1.tmp"), "half").expect("a file");
    let scratch = state.folder("targets", "edge").scratch_dir().expect("it is ours");
    fs::write(scratch.path().join("a"), "").expect("a file");
    // Not dropped, as after a crash.
    std::mem::forget(scratch);
    drop(state);
    StateDir::open(&directory.path().join("state")).expect("free again");
    let left: Vec<_> = fs::read_dir(path).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["pending"]);
}

#[test]
fn the_error_for_a_second_writer_names_the_first() {
    let (directory, state) = open();
    let folder = state.folder("targets", "edge");
    drop(state);
    let error = StateDir::open(&directory.path().join("state")).expect_err("a folder holds the lock");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(folder);
    StateDir::open(&directory.path().join("state")).expect("free again");
}

#[test]
fn a_successor_shares_the_lock_of_the_same_directory_only() {
    let (directory, state) = open();
    std::os::unix::fs::symlink("state", directory.path().join("link")).expect("a link");
    let next = StateDir::open_sharing_lock(&directory.path().join("link"), &state).expect("it is ours");
    drop(state);
    StateDir::open(&directory.path().join("state")).expect_err("the next one holds it");
    let other = StateDir::open(&directory.path().join("other")).expect("free");
    StateDir::open_sharing_lock(&directory.path().join("other"), &next).expect_err("another process holds it");
    drop(other);
    StateDir::open_sharing_lock(&directory.path().join("other"), &next).expect("free again");
}

#[test]
fn read_only_needs_no_lock_and_writes_nothing() {
    let (directory, state) = open();
    state.folder("targets", "edge").write("pending", &7).expect("it is ours");
    let read_only = StateDir::open_read_only(&directory.path().join("state")).folder("targets", "edge");
    assert_eq!(read_only.read("pending").expect("it can be read"), Some(7));
    assert!(matches!(read_only.write("pending", &8), Err(StateError::ReadOnly(_))));
    assert!(matches!(read_only.remove("pending"), Err(StateError::ReadOnly(_))));
    let absent = StateDir::open_read_only(Path::new("/nonexistent")).folder("a", "b");
    assert_eq!(absent.read::<u8>("pending").expect("it can be read"), None);
}

#[test]
fn a_corrupt_file_is_set_aside() {
    let (directory, state) = open();
    let folder = state.folder("targets", "edge");
    let path = directory.path().join("state/targets/edge/pending");
    let broken = [
        b"".to_vec(),
        b"7".to_vec(),
        seal(b"7")[..70].to_vec(),
        [seal(b"7"), b" ".to_vec()].concat(),
        seal(b"seven"),
        seal(b"7").iter().map(|byte| if *byte == b'1' { b'2' } else { *byte }).collect(),
    ];
    for bytes in broken {
        folder.write("pending", &7).expect("it is ours");
        fs::write(&path, bytes).expect("a file");
        assert_eq!(folder.read::<u8>("pending").expect("it can be read"), None);
        assert!(!path.exists() && path.with_extension("unreadable").exists());
        assert_eq!(folder.names().expect("it can be listed"), [""; 0]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_stays() {
    let (directory, state) = open();
    let folder = state.folder("targets", "edge");
    folder.write("pending", &7).expect("it is ours");
    let path = directory.path().join("state/targets/edge/pending");
    // Reading a directory fails with an error other than NotFound.
    fs::remove_file(&path).expect("it is there");
    fs::create_dir(&path).expect("a directory");
    assert!(matches!(folder.read::<u8>("pending"), Err(StateError::Io { action: "read", .. })));
    assert!(path.exists() && !path.with_extension("unreadable").exists());
}
