//! The app of the lab: says over HTTP which container it is, and leaves politely.
//!
//! | request                  | answer                                                             |
//! |--------------------------|--------------------------------------------------------------------|
//! | any method, any path     | 200, `NAME VERSION`; headers `X-Instance`, `X-Version`, `X-Started` |
//! | `/slow?ms=N`             | the same, N milliseconds later                                     |
//! | `/health`                | 200, or what the last `POST /health?status=N` asked for            |
//!
//! From the environment: `NAME` (default: the host name), `VERSION` (v1), `PORTS` (8080; a list with
//! commas) and `GRACE_MS` (400). After SIGTERM it serves for the grace time as before, then closes its
//! ports, ends the requests that still run and exits 0. SIGHUP changes nothing.

mod request;
mod serve;
mod settings;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::serve::Server;
use crate::settings::Settings;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("app: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let settings = Settings::from_environment()?;
    // Before the ports open: a signal that comes early must not kill.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| format!("cannot handle signals: {e}"))?;
    let (ports, grace) = (settings.ports.clone(), settings.grace);
    let server = Arc::new(Server::new(settings));

    let mut acceptors = Vec::new();
    for port in &ports {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port))
            .map_err(|e| format!("cannot listen on port {port}: {e}"))?;
        let server = Arc::clone(&server);
        acceptors.push(thread::spawn(move || server.accept(&listener)));
    }

    signals.forever().find(|signal| *signal != SIGHUP);
    server.drain();
    thread::sleep(grace);
    server.close();
    for (port, acceptor) in ports.iter().zip(acceptors) {
        // `accept` sleeps until somebody comes: be that somebody.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
        acceptor.join().map_err(|_| format!("the acceptor of port {port} panicked"))?;
    }
    while server.busy() {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
