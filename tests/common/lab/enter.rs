//! Threads and processes inside a namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// Moves the calling thread into a network namespace, for good. Its sockets belong there from then on,
/// and so do the threads that it starts.
pub fn enter_network(network: &Path) {
    let file = File::open(network).unwrap_or_else(|e| panic!("cannot open the network {}: {e}", network.display()));
    setns(file, CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|e| panic!("cannot enter the network {}: {e}", network.display()));
}

/// Runs `work` on a thread of its own inside a network namespace.
pub fn in_network<T: Send>(network: &Path, work: impl FnOnce() -> T + Send) -> T {
    on_a_thread(|| {
        enter_network(network);
        work()
    })
}

/// Starts the first process of a host: in this network, and in fresh namespaces for all else.
pub fn boot(network: &Path, command: &mut Command) -> io::Result<Child> {
    on_a_thread(|| {
        enter_network(network);
        unshare(
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC,
        )?;
        command.spawn()
    })
}

/// Runs `work` on a thread whose children are born in the namespaces of the process `host`. The thread
/// itself keeps its process number, so `work` cannot start threads; and the numbers that it sees are
/// those outside.
pub fn in_host<T: Send>(host: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    on_a_thread(|| {
        let all = CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNS;
        unshare(CloneFlags::CLONE_FS).expect("a thread may have a working directory of its own");
        setns(host.as_fd(), all).expect("the host is alive, and we are root");
        work()
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
