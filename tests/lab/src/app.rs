//! Builds the app that runs in the containers.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::target_dir;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../app/Cargo.toml");

/// The directory with the program `app`, which is built first if necessary. Cargo's lock makes other
/// processes wait while one builds.
pub fn build() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let triple = host_triple();
        // Not in the directory of the workspace: one lock for both would make the lab wait for other builds.
        let target = target_dir::root().join("lab-app");
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--release", "--locked", "--target", &triple, "--manifest-path", MANIFEST])
            .arg("--target-dir")
            .arg(&target)
            // Static, because the image contains nothing else. With an explicit target the flag does not
            // apply to build scripts.
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .unwrap_or_else(|e| panic!("cannot start cargo: {e}"));
        assert!(output.status.success(), "the app does not build: {}", String::from_utf8_lossy(&output.stderr));
        target.join(triple).join("release")
    })
}

fn host_triple() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc).arg("-vV").output().unwrap_or_else(|e| panic!("cannot start {rustc:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    triple.expect("rustc -vV names the host").to_owned()
}
