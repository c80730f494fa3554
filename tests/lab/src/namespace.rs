//! Threads and processes inside namespaces.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// Moves the calling thread into a network namespace. Sockets that it opens later are in that namespace, and
/// so are threads that it starts later.
pub fn enter_network(network: &Path) {
    let file = File::open(network).unwrap_or_else(|e| panic!("cannot open the network {}: {e}", network.display()));
    setns(file, CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|e| panic!("cannot enter the network {}: {e}", network.display()));
}

/// Runs `work` on a new thread inside a network namespace.
pub fn in_network<T: Send>(network: &Path, work: impl FnOnce() -> T + Send) -> T {
    on_new_thread(|| {
        enter_network(network);
        work()
    })
}

/// Starts the first process of a host in this network namespace, and in new namespaces of the other kinds.
pub fn boot(network: &Path, command: &mut Command) -> io::Result<Child> {
    on_new_thread(|| {
        enter_network(network);
        unshare(
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC,
        )?;
        command.spawn()
    })
}

/// Runs `work` on a new thread whose child processes start in the namespaces of the process `host`. The thread
/// itself stays in the machine's PID namespace: `work` cannot start threads, and sees the machine's process
/// numbers.
pub fn in_host<T: Send>(host: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    on_new_thread(|| {
        let all = CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNS;
        unshare(CloneFlags::CLONE_FS).expect("a thread can have its own working directory");
        setns(host.as_fd(), all).expect("the host is running, and we are root");
        work()
    })
}

fn on_new_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
