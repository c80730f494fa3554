//! Runs the program in its own mount namespace, with a directory of the test as `/etc`.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The command `portreeve ARGUMENTS` in the directory `etc`, with only `PATH` in its environment.
pub(crate) fn portreeve(etc: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", "mount --bind \"$0\" /etc && exec \"$@\""]);
    command.arg(etc).arg(env!("CARGO_BIN_EXE_portreeve")).args(arguments).stdin(Stdio::null()).current_dir(etc);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}
