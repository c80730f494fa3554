//! Runs a program with a time limit, in its own process group, and keeps the beginning of its output.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::{io::AsyncReadExt, net::unix::pipe, process::Command, time};

use crate::sys::process_group::ProcessGroup;

/// The placeholder for the path of the candidate in an argument.
pub(crate) const CANDIDATE: &str = "{{candidate}}";

/// How much of the output is kept, in bytes. The rest is read and dropped.
const MAX_OUTPUT_BYTES: usize = 16 * 1024;

/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// The exit status of a program, and its standard output and standard error.
#[derive(Debug)]
pub(crate) struct SubprocessOutput {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

impl SubprocessOutput {
    /// Describes the failure of a program. `command`: its command line.
    pub(crate) fn failure_message(&self, command: &[&str], output: &str) -> String {
        match self.status.signal() {
            Some(signal) => format!("{} was killed by signal {signal}{}", command.join(" "), output_suffix(output)),
            None if output.is_empty() => format!("{}: {}, without any output", command.join(" "), self.status),
            None => output.to_owned(),
        }
    }
}

/// Why a program has no exit status.
#[derive(Debug, thiserror::Error)]
pub enum SubprocessError {
    /// It could not be started.
    #[error("{}: cannot be started", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It took too long, and was killed with its process group.
    #[error("{}: ended, since it took longer than {limit:?}{}", program.display(), output_suffix(output))]
    Timeout {
        /// The program.
        program: PathBuf,
        /// The time limit.
        limit: Duration,
        /// Its output until then.
        output: String,
    },
    /// Its output or exit status could not be read.
    #[error("{}: cannot be watched", program.display())]
    Wait {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The output of a program as the end of a message; empty without output.
pub(crate) fn output_suffix(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(":\n{output}") }
}

/// Runs `program` without a shell and without input. Its process group is killed after `limit`, or when the returned
/// future is dropped.
pub(crate) async fn run<S>(program: &Path, args: &[S], limit: Duration) -> Result<SubprocessOutput, SubprocessError>
where
    S: AsRef<std::ffi::OsStr>,
{
    let start = |source| SubprocessError::Start { program: program.to_owned(), source };
    let watch = |source| SubprocessError::Wait { program: program.to_owned(), source };
    let (reader, writer) = io::pipe().map_err(start)?;
    let mut command = Command::new(program);
    command.args(args).process_group(0).stdin(Stdio::null());
    command.stdout(writer.try_clone().map_err(start)?).stderr(writer);
    let mut child = command.spawn().map_err(start)?;
    // `command` holds write ends of the pipe.
    drop(command);
    let mut group = ProcessGroup::of(&child);
    let mut output = OutputReader::new(pipe::Receiver::from_owned_fd(reader.into()).map_err(watch)?);

    let end = async {
        tokio::select! {
            status = child.wait() => status,
            // Returns only if reading fails.
            error = output.read_all() => Err(error),
        }
    };
    match time::timeout(limit, end).await {
        Ok(ended) => {
            let status = ended.map_err(watch)?;
            // Its child processes may keep running and hold the pipe open, so this does not wait for the end of the
            // pipe.
            group.release();
            Ok(SubprocessOutput { status, output: output.finish() })
        }
        Err(_) => {
            group.signal(Signal::SIGTERM);
            // An error means that it has exited.
            let _ = time::timeout(GRACE, child.wait()).await;
            drop(group);
            let _ = child.wait().await;
            Err(SubprocessError::Timeout { program: program.to_owned(), limit, output: output.finish() })
        }
    }
}

/// Keeps the beginning of the output from a pipe.
struct OutputReader {
    pipe: pipe::Receiver,
    kept: Vec<u8>,
    is_truncated: bool,
}

impl OutputReader {
    fn new(pipe: pipe::Receiver) -> Self {
        Self { pipe, kept: Vec::new(), is_truncated: false }
    }

    /// Reads until it is dropped; returns only if reading fails.
    async fn read_all(&mut self) -> io::Error {
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.read(&mut buffer).await {
                Ok(0) => std::future::pending().await,
                Ok(length) => self.push(&buffer[..length]),
                Err(error) => return error,
            }
        }
    }

    /// Reads what is in the pipe now, and does not wait for more.
    fn finish(mut self) -> String {
        let mut buffer = [0; 4096];
        while !self.is_truncated
            && let Ok(length @ 1..) = self.pipe.try_read(&mut buffer)
        {
            self.push(&buffer[..length]);
        }
        let mut text = String::from_utf8_lossy(&self.kept).trim_end().to_owned();
        if self.is_truncated {
            text.push_str("\n[the rest is left out]");
        }
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        let capacity = MAX_OUTPUT_BYTES - self.kept.len();
        self.kept.extend(&bytes[..bytes.len().min(capacity)]);
        self.is_truncated |= bytes.len() > capacity;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn shell(script: &str, limit: Duration) -> Result<SubprocessOutput, SubprocessError> {
        run(Path::new("/bin/sh"), &["-c", script], limit).await
    }

    fn is_running(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn exit_status_and_both_outputs_are_returned_in_order() {
        let ended = shell("echo one; echo two >&2; echo three; exit 3", LONG).await.expect("it runs");
        assert_eq!((ended.status.code(), ended.output.as_str()), (Some(3), "one\ntwo\nthree"));
    }

    #[tokio::test]
    async fn only_the_beginning_of_a_long_output_is_kept() {
        let ended = shell("i=0; while [ $i -lt 9000 ]; do echo 0123456789; i=$((i+1)); done", LONG).await;
        let output = ended.expect("it runs").output;
        assert!(output.len() < MAX_OUTPUT_BYTES + 40 && output.ends_with("left out]"), "{}", output.len());
    }

    #[tokio::test]
    async fn a_daemon_that_keeps_the_pipe_is_neither_waited_for_nor_killed() {
        let ended = shell("sleep 300 & echo $!", LONG).await.expect("it runs");
        assert!(is_running(&ended.output));
        let pid = ended.output.trim().parse().expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    }

    #[tokio::test]
    async fn a_child_that_keeps_writing_is_not_read_forever() {
        let script = "(while :; do echo 0123456789; done) & echo $!";
        let ended = time::timeout(LONG, shell(script, LONG)).await.expect("it does not hang").expect("it runs");
        assert_eq!(ended.status.code(), Some(0));
        // The pipe is closed, so the writer gets SIGPIPE.
        let pid = ended.output.lines().find(|line| *line != "0123456789").expect("a pid").to_owned();
        let gone = async {
            while is_running(&pid) {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        time::timeout(LONG, gone).await.expect("it ends");
    }

    #[tokio::test]
    async fn a_signal_and_a_missing_output_are_reported() {
        let message = |ended: &SubprocessOutput| ended.failure_message(&["nginx", "-t"], &ended.output);
        let killed = shell("kill -9 $$", LONG).await.expect("it runs");
        assert_eq!(message(&killed), "nginx -t was killed by signal 9");
        let silent = shell("exit 3", LONG).await.expect("it runs");
        assert_eq!(message(&silent), "nginx -t: exit status: 3, without any output");
    }

    #[tokio::test]
    async fn after_the_time_limit_the_process_group_is_killed() {
        let ignoring = "trap '' TERM; sleep 300 & echo $!; while :; do sleep 300; done";
        for script in [ignoring, "sleep 300 & echo $!; exec sleep 300"] {
            let error = shell(script, Duration::from_millis(300)).await.expect_err("it hangs");
            let SubprocessError::Timeout { output, .. } = error else { panic!("{error}") };
            let gone = async {
                while is_running(&output) {
                    time::sleep(Duration::from_millis(5)).await;
                }
            };
            time::timeout(LONG, gone).await.expect("the child was killed as well");
        }
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_started_is_named() {
        let error = run(Path::new("/nonexistent/x"), &["a"], LONG).await.expect_err("there is no such program");
        assert_eq!(error.to_string(), "/nonexistent/x: cannot be started");
    }
}
