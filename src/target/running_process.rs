//! The process with the pid in a pid file.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::sys::regular_file;

/// The size limit of a pid file, in bytes.
const MAX_PID_FILE_BYTES: u64 = 4096;

/// A process with a pidfd: a signal reaches this process or none, even if another process gets its pid.
#[derive(Debug)]
pub(crate) struct RunningProcess {
    pid: i32,
    pidfd: OwnedFd,
}

/// Why there is no process or container to notify. Not an error: a stopped program reads its files when it starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRunningReason {
    /// The pid file is missing, or has no pid (`nginx -t` creates an empty one).
    #[error("{}: is missing, or has no pid in it", .0.display())]
    NoPid(PathBuf),
    /// The process has ended.
    #[error("{}: process {pid} is not running", file.display())]
    Exited {
        /// The pid file.
        file: PathBuf,
        /// The pid in it.
        pid: i32,
    },
    /// The pid belongs to another program.
    #[error("{}: process {pid} is {found}, not {expected}", file.display())]
    OtherProcess {
        /// The pid file.
        file: PathBuf,
        /// The pid in it.
        pid: i32,
        /// The name of the process.
        found: String,
        /// The expected program.
        expected: String,
    },
    /// The container has ended, or was not started.
    #[error("container {name} is not running on Docker at {docker}")]
    ContainerStopped {
        /// The container.
        name: String,
        /// The address of the engine.
        docker: String,
    },
    /// There is no such container.
    #[error("there is no container {name} on Docker at {docker}")]
    ContainerMissing {
        /// The container.
        name: String,
        /// The address of the engine.
        docker: String,
    },
}

/// Why a process cannot be found, signalled or inspected.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The pid file exists but cannot be read.
    #[error("{}: the pid file cannot be read", .0.display())]
    PidFile(PathBuf, #[source] io::Error),
    /// No pidfd can be opened (Linux 5.3 or newer is needed).
    #[error("process {0} cannot be opened")]
    Open(i32, #[source] io::Error),
    /// It cannot be signalled, most often because this process is not root.
    #[error("process {0} cannot be signalled")]
    Signal(i32, #[source] io::Error),
    /// Its files in /proc cannot be read.
    #[error("process {0} cannot be inspected")]
    Inspect(i32, #[source] io::Error),
}

/// The content of a pid file.
pub(super) fn read_pid_file(file: &Path) -> io::Result<String> {
    regular_file::read_text(file, MAX_PID_FILE_BYTES)
}

impl RunningProcess {
    /// Finds the process with the pid in `file`. `expected` names the program for error messages; `is_expected` decides
    /// by the command name and the command line.
    pub(crate) fn from_pid_file(
        file: &Path,
        expected: &str,
        is_expected: impl Fn(&str, &str) -> bool,
    ) -> Result<Result<Self, NotRunningReason>, ProcessError> {
        let text = match read_pid_file(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ProcessError::PidFile(file.to_owned(), error)),
        };
        let number = text.trim().parse().ok().filter(|pid: &i32| pid.is_positive());
        let Some(pid) = number.and_then(Pid::from_raw) else {
            return Ok(Err(NotRunningReason::NoPid(file.to_owned())));
        };
        let raw = pid.as_raw_nonzero().get();
        let ended = Ok(Err(NotRunningReason::Exited { file: file.to_owned(), pid: raw }));
        // Opened before the inspection, so that the inspected process is the one that is signalled, or has ended.
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return ended,
            Err(errno) => return Err(ProcessError::Open(raw, errno.into())),
        };
        let process = Self { pid: raw, pidfd };
        let (Some(name), Some(line)) = (process.read_proc("comm")?, process.read_proc("cmdline")?) else {
            return ended;
        };
        let name = name.trim();
        let line = line.replace('\0', " ");
        // Without a command line it is a kernel thread or a zombie.
        if line.is_empty() {
            return ended;
        }
        if is_expected(name, line.trim()) {
            return Ok(Ok(process));
        }
        let (found, expected) = (name.to_owned(), expected.to_owned());
        Ok(Err(NotRunningReason::OtherProcess { file: file.to_owned(), pid: raw, found, expected }))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal; false if the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool, ProcessError> {
        let number =
            rustix::process::Signal::from_named_raw(signal as i32).expect("both crates know the named signals");
        match pidfd_send_signal(&self.pidfd, number) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => Err(ProcessError::Signal(self.pid, errno.into())),
        }
    }

    /// A file below `/proc/PID`; `None` if the process has ended.
    pub(crate) fn read_proc(&self, name: &str) -> Result<Option<String>, ProcessError> {
        read_proc_file(self.pid, name).map_err(|error| ProcessError::Inspect(self.pid, error))
    }
}

/// A file below `/proc/PID`; `None` if there is no such process.
pub(crate) fn read_proc_file(pid: i32, name: &str) -> io::Result<Option<String>> {
    match fs::read(format!("/proc/{pid}/{name}")) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<RunningProcess, NotRunningReason> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("it is ours");
        RunningProcess::from_pid_file(file.path(), "a program", |_, line| !line.contains("sleep"))
            .expect("it can be read")
    }

    #[test]
    fn a_program_that_is_not_running_is_not_an_error() {
        for text in ["", "\n", "x", "0", "-1"] {
            assert!(matches!(found(text), Err(NotRunningReason::NoPid(_))), "{text:?}");
        }
        let missing =
            RunningProcess::from_pid_file(Path::new("/nonexistent"), "", |_, _| true).expect("it can be read");
        assert!(matches!(missing, Err(NotRunningReason::NoPid(_))));
        let mut child = std::process::Command::new("true").spawn().expect("it starts");
        child.wait().expect("it ends");
        assert!(matches!(found(&format!("{}\n", child.id())), Err(NotRunningReason::Exited { .. })));
    }

    #[test]
    fn another_program_with_the_pid_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().expect("it starts");
        // `spawn` returns a moment before /proc has the new command line.
        while read_proc_file(child.id().cast_signed(), "cmdline")
            .expect("it runs")
            .is_none_or(|line| !line.contains("300"))
        {
            std::thread::yield_now();
        }
        let other = found(&child.id().to_string());
        assert!(matches!(&other, Err(NotRunningReason::OtherProcess { found, .. }) if found == "sleep"), "{other:?}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), child.id().to_string()).expect("it is ours");
        let is_sleep = |name: &str, line: &str| name == "sleep" && line == "sleep 300";
        let process =
            RunningProcess::from_pid_file(file.path(), "sleep", is_sleep).expect("it can be read").expect("it runs");
        assert!(process.signal(Signal::SIGKILL).expect("it is ours"));
        child.wait().expect("it was killed");
        assert!(!process.signal(Signal::SIGKILL).expect("no process is signalled"));
    }
}
