//! The process whose pid stands in a file.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::files;

/// A process, held by a descriptor: a signal reaches this one or nobody, even if its pid is given to another.
#[derive(Debug)]
pub(crate) struct RunningProcess {
    pid: i32,
    pidfd: OwnedFd,
}

/// Why no process can be signalled. Not an error: a program may be stopped, and reads its files when it starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRunningReason {
    /// The file is not there, or empty (`nginx -t` leaves it so).
    #[error("{}: not there, or no pid in it", .0.display())]
    NoPid(PathBuf),
    /// The process has ended.
    #[error("{}: process {pid} does not run", file.display())]
    Exited {
        /// The pid file.
        file: PathBuf,
        /// What stands in it.
        pid: i32,
    },
    /// The pid belongs to something else by now.
    #[error("{}: process {pid} is {found}, not {wanted}", file.display())]
    OtherProcess {
        /// The pid file.
        file: PathBuf,
        /// What stands in it.
        pid: i32,
        /// What the process is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// The container has ended, or was not started.
    #[error("container {name} does not run on Docker at {docker}")]
    ContainerStopped {
        /// The container.
        name: String,
        /// Where the engine is.
        docker: String,
    },
    /// There is no such container.
    #[error("there is no container {name} on Docker at {docker}")]
    ContainerMissing {
        /// The container.
        name: String,
        /// Where the engine is.
        docker: String,
    },
}

/// Why nothing can be said about a process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The pid file is there but cannot be read.
    #[error("{}: the pid file cannot be read", .0.display())]
    PidFile(PathBuf, #[source] io::Error),
    /// The system does not let us hold it (Linux 5.3 or newer is needed).
    #[error("process {0} cannot be held")]
    Open(i32, #[source] io::Error),
    /// The system does not let us signal it; most often we are not root.
    #[error("process {0} cannot be signalled")]
    Signal(i32, #[source] io::Error),
    /// What /proc says about it cannot be read.
    #[error("process {0} cannot be looked at")]
    Inspect(i32, #[source] io::Error),
}

impl RunningProcess {
    /// Reads `file`. `wanted` names what the process has to be, and `is` tells whether it is, given its command name
    /// and its command line.
    pub(crate) fn from_pid_file(
        file: &Path,
        wanted: &str,
        is: impl Fn(&str, &str) -> bool,
    ) -> Result<Result<Self, NotRunningReason>, ProcessError> {
        let text = match files::open(file).and_then(io::read_to_string) {
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
        // First the descriptor, then the look: what we look at is what we hold, or it has ended.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return ended,
            Err(errno) => return Err(ProcessError::Open(raw, errno.into())),
        };
        let process = Self { pid: raw, pidfd: handle };
        let (Some(name), Some(line)) = (process.read_proc("comm")?, process.read_proc("cmdline")?) else {
            return ended;
        };
        let name = name.trim();
        let line = line.replace('\0', " ");
        // Without a command line it is a kernel thread, or has ended and nobody has asked for its exit code.
        if line.is_empty() {
            return ended;
        }
        if is(name, line.trim()) {
            return Ok(Ok(process));
        }
        let (found, wanted) = (name.to_owned(), wanted.to_owned());
        Ok(Err(NotRunningReason::OtherProcess { file: file.to_owned(), pid: raw, found, wanted }))
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

    /// A file below `/proc/PID`, or nothing if the process has ended.
    pub(crate) fn read_proc(&self, name: &str) -> Result<Option<String>, ProcessError> {
        read_proc_file(self.pid, name).map_err(|error| ProcessError::Inspect(self.pid, error))
    }
}

/// A file below `/proc/PID`, or nothing if there is no such process.
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
    fn who_is_not_there_is_not_an_error() {
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
    fn a_stranger_is_told_from_the_program_and_only_the_program_is_signalled() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().expect("it starts");
        // The kernel tells the parent of an `exec` a little before the new command line can be seen.
        while read_proc_file(child.id().cast_signed(), "cmdline")
            .expect("it runs")
            .is_none_or(|line| !line.contains("300"))
        {
            std::thread::yield_now();
        }
        let stranger = found(&child.id().to_string());
        assert!(
            matches!(&stranger, Err(NotRunningReason::OtherProcess { found, .. }) if found == "sleep"),
            "{stranger:?}"
        );
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), child.id().to_string()).expect("it is ours");
        let is = |name: &str, line: &str| name == "sleep" && line == "sleep 300";
        let process =
            RunningProcess::from_pid_file(file.path(), "sleep", is).expect("it can be read").expect("it runs");
        assert!(process.signal(Signal::SIGKILL).expect("it is ours"));
        child.wait().expect("it was killed");
        assert!(!process.signal(Signal::SIGKILL).expect("nobody is hit"));
    }
}
