//! The app of the lab: an HTTP server that answers with its container's name, and shuts down gracefully.
//!
//! | request                  | answer                                                             |
//! |--------------------------|--------------------------------------------------------------------|
//! | any method, any path     | 200, `NAME VERSION`; headers `X-Instance`, `X-Version`, `X-Started` |
//! | `/slow?ms=N`             | the same, N milliseconds later                                     |
//! | `/health`                | 200, or the status of the last `POST /health?status=N`             |
//!
//! Environment variables: `NAME` (default: the host name), `VERSION` (v1), `PORTS` (8080; separated by
//! commas) and `GRACE_MS` (400). After SIGTERM it continues to serve for the grace time. Then it closes
//! its ports, completes open requests and exits with 0. SIGHUP has no effect.

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
    // Before the ports are open, so that an early signal does not kill the app.
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
        // A connection ends the blocking `accept`.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
        acceptor.join().map_err(|_| format!("the acceptor of port {port} panicked"))?;
    }
    while server.busy() {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
