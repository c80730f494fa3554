//! A TCP proxy in front of a server that can refuse, reset or stall connections.

#![allow(dead_code, unreachable_pub)]

use std::{
    io::{Read, Write},
    iter,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// What the proxy does with new connections. A change of the mode closes the open ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are forwarded to the server.
    Good,
    /// The port is closed.
    Refused,
    /// They are accepted and reset.
    Reset,
    /// They are accepted, and there is never an answer.
    Stalled,
}

/// A proxy to one server, until it is dropped.
pub struct Wire {
    /// Always bound, so no other process can take the port in the mode `Refused`.
    socket: Arc<TcpListener>,
    server: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

impl Wire {
    /// Starts a proxy that forwards connections to a server.
    pub fn to(server: SocketAddr) -> Self {
        let wire = Self { socket: Arc::new(bound()), server, open: Arc::default(), acceptor: Mutex::new(None) };
        wire.accept(Mode::Good);
        wire
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Closes the open connections and changes the mode.
    pub fn set(&self, mode: Mode) {
        if let Some(acceptor) = self.acceptor.lock().expect("no panic").take() {
            // Ends listening, and wakes the acceptor.
            net::shutdown(&*self.socket, net::Shutdown::Both).expect("it listens");
            acceptor.join().expect("the acceptor does not panic");
        }
        for stream in self.open.lock().expect("no panic").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        if mode != Mode::Refused {
            net::listen(&*self.socket, BACKLOG).expect("it is bound");
            self.accept(mode);
        }
    }

    fn accept(&self, mode: Mode) {
        let (socket, server, open) = (Arc::clone(&self.socket), self.server, Arc::clone(&self.open));
        let acceptor = thread::spawn(move || {
            for client in socket.incoming().map_while(Result::ok) {
                match mode {
                    Mode::Good => carry(client, server, &open),
                    Mode::Stalled => open.lock().expect("no panic").push(client),
                    Mode::Reset | Mode::Refused => reset(client),
                }
            }
        });
        *self.acceptor.lock().expect("no panic") = Some(acceptor);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.set(Mode::Refused);
    }
}

/// A socket with a port that stays its own while it does not listen. For that, the port must be bound by its number.
fn bound() -> TcpListener {
    let port = || TcpListener::bind("127.0.0.1:0")?.local_addr();
    let bound = || TcpListener::bind(port()?);
    iter::repeat_with(bound).take(100).find_map(Result::ok).expect("a port that no other process takes meanwhile")
}

fn carry(client: TcpStream, server: SocketAddr, open: &Mutex<Vec<TcpStream>>) {
    let Ok(server) = TcpStream::connect(server) else { return reset(client) };
    let ends = [(&client, &server), (&server, &client)];
    for (from, to) in ends.map(|(from, to)| (from.try_clone(), to.try_clone())) {
        let (mut from, mut to) = (from.expect("a descriptor"), to.expect("a descriptor"));
        thread::spawn(move || {
            let mut bytes = [0; 16 * 1024];
            while let Ok(length @ 1..) = from.read(&mut bytes)
                && to.write_all(&bytes[..length]).is_ok()
            {}
            drop(to.shutdown(Shutdown::Write));
        });
    }
    let mut open = open.lock().expect("no panic");
    open.push(client);
    open.push(server);
}

/// Resets a connection: closing it with an unread request causes a reset.
fn reset(stream: TcpStream) {
    drop(stream.set_read_timeout(Some(Duration::from_millis(100))));
    drop(stream.peek(&mut [0]));
    drop(stream);
}
