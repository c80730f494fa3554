//! Where Cargo puts what it builds.

use std::env;
use std::path::PathBuf;

/// The directory of the profile that this program was built with, such as `target/debug`. Programs are in
/// it, test programs in `deps` below it.
pub(crate) fn profile() -> PathBuf {
    let program = env::current_exe().expect("/proc is mounted");
    let directory = program.parent().expect("the path of a file");
    let profile = if directory.ends_with("deps") { directory.parent().expect("an absolute path") } else { directory };
    profile.to_owned()
}

/// Cargo's target directory.
pub(crate) fn root() -> PathBuf {
    profile().parent().expect("a profile is in the target directory").to_owned()
}
