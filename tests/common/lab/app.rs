//! Builds the app that the containers run.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/app");

/// The directory that the program `app` is in, built if need be. Cargo's own lock lets one process
/// build while others wait.
pub fn build() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let triple = host_triple();
        let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
            .args(["build", "--quiet", "--release", "--locked", "--target", &triple])
            .args(["--manifest-path", &format!("{SOURCE}/Cargo.toml")])
            .args(["--target-dir", &format!("{SOURCE}/target")])
            // Static, for an image with nothing else in it. With an explicit target this does not
            // reach build scripts.
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .output()
            .unwrap_or_else(|e| panic!("cannot start cargo: {e}"));
        assert!(output.status.success(), "the app does not build: {}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(format!("{SOURCE}/target/{triple}/release"))
    })
}

fn host_triple() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&rustc).arg("-vV").output().unwrap_or_else(|e| panic!("cannot start {rustc}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    triple.expect("rustc -vV names the host").to_owned()
}
