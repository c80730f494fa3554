//! The program with a directory of a test as its `/etc`, in a mount namespace of its own.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// `portreeve ARGUMENTS` with nothing in its environment but `PATH`, in the directory `etc`.
pub(crate) fn portreeve(etc: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\""]);
    command.arg(etc).arg(env!("CARGO_BIN_EXE_portreeve")).args(arguments).stdin(Stdio::null()).current_dir(etc);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}
