//! The first process (PID 1) of a container: it starts Portreeve as its child, forwards signals to it, and reaps
//! orphans.
//!
//! A process whose parent has ended becomes a child of PID 1, and stays a zombie until PID 1 reads its exit code.
//! Portreeve itself cannot wait for any child: it would take the exit codes of its own commands away from the tasks
//! that wait for them. So there are two processes, and this one does nothing else.

use std::{env, io, os::unix::process::CommandExt, process::Command};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::SignalFd,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid, getppid},
};

const PID_ONE: Pid = Pid::from_raw(1);

/// Whether this process is PID 1.
pub fn is_pid_one() -> bool {
    getpid() == PID_ONE
}

/// Unblocks the signals in a child of PID 1: [`run`] blocks them, and children inherit that.
pub fn unblock_signals() -> io::Result<()> {
    if getppid() == PID_ONE { Ok(SigSet::all().thread_unblock()?) } else { Ok(()) }
}

/// Runs Portreeve as a child until it ends, and returns its exit code.
pub fn run() -> io::Result<u8> {
    let signals = SigSet::all();
    signals.thread_block()?;
    let signal_fd = SignalFd::new(&signals)?;
    let mut arguments = env::args_os();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(arguments.next().unwrap_or_default()).args(arguments);
    let child = Pid::from_raw(command.spawn()?.id().cast_signed());
    loop {
        let Some(signal) = signal_fd.read_signal()? else { continue };
        let name = i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        match name {
            Some(Signal::SIGCHLD) => {
                if let Some(code) = reap(child)? {
                    return Ok(code);
                }
            }
            // A terminal sends its signals to both processes.
            Some(name) if signal.ssi_code != libc::SI_KERNEL => match kill(child, name) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno.into()),
            },
            _ => {}
        }
    }
}

/// Reads the exit codes of all processes that have ended. Returns that of `child` if it is among them.
fn reap(child: Pid) -> io::Result<Option<u8>> {
    loop {
        let code = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => 128 + signal as i32,
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        return Ok(Some(code.try_into().unwrap_or(u8::MAX)));
    }
}
