//! The first process of a container: it starts Portreeve proper, hands signals on to it, and takes in orphans.
//!
//! A process whose parent has ended becomes a child of the first one, which has to ask for its exit code, or it stays a
//! zombie. Portreeve itself cannot ask for just anybody's: it would take the exit codes of its own commands from those who
//! wait for them. So there are two processes, and this one knows nothing but that.

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

/// Whether we are the first process.
pub fn is_pid_one() -> bool {
    getpid() == PID_ONE
}

/// Undoes what the first process has done to the signals of this one.
pub fn unblock_signals() -> io::Result<()> {
    if getppid() == PID_ONE { Ok(SigSet::all().thread_unblock()?) } else { Ok(()) }
}

/// Runs Portreeve proper to its end; its exit code.
pub fn run() -> io::Result<u8> {
    let signals = SigSet::all();
    signals.thread_block()?;
    let heard = SignalFd::new(&signals)?;
    let mut arguments = env::args_os();
    let mut proper = Command::new("/proc/self/exe");
    proper.arg0(arguments.next().unwrap_or_default()).args(arguments);
    let proper = Pid::from_raw(proper.spawn()?.id().cast_signed());
    loop {
        let Some(signal) = heard.read_signal()? else { continue };
        let name = i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        match name {
            Some(Signal::SIGCHLD) => {
                if let Some(code) = reap(proper)? {
                    return Ok(code);
                }
            }
            // What a terminal sends, it sends to both of us.
            Some(name) if signal.ssi_code != libc::SI_KERNEL => match kill(proper, name) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno.into()),
            },
            _ => {}
        }
    }
}

/// Takes in all that have ended; the exit code of Portreeve proper, if it is among them.
fn reap(proper: Pid) -> io::Result<Option<u8>> {
    loop {
        let code = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == proper => code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == proper => 128 + signal as i32,
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        return Ok(Some(code.try_into().unwrap_or(u8::MAX)));
    }
}
