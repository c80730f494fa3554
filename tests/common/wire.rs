//! A wire to a server, which can be cut in every way that wires are cut.

#![allow(dead_code, unreachable_pub)]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What becomes of connections, those that are open included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They lead to the server.
    Good,
    /// Nobody listens.
    Refused,
    /// They are taken and reset.
    Reset,
    /// They are taken, and nothing ever comes back.
    Stalled,
}

/// Carries connections to one server, for as long as it lives.
pub struct Wire {
    address: SocketAddr,
    server: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    gate: Mutex<Option<Gate>>,
}

struct Gate {
    closed: Arc<AtomicBool>,
    acceptor: thread::JoinHandle<()>,
}

impl Wire {
    /// A good wire to a server. It has a loopback address that no other process uses: while nobody listens, nobody else may
    /// take the port.
    pub fn to(server: SocketAddr) -> Self {
        let [.., first, second, third] = std::process::id().to_be_bytes();
        let own = Ipv4Addr::new(127, first | 0x80, second, third);
        let listener = TcpListener::bind((own, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let wire = Self { address, server, open: Arc::default(), gate: Mutex::new(None) };
        wire.accept(listener, Mode::Good);
        wire
    }

    /// `http://ADDRESS:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks what is open, and treats what comes as told.
    pub fn set(&self, mode: Mode) {
        if let Some(gate) = self.gate.lock().expect("no panic").take() {
            gate.closed.store(true, Ordering::SeqCst);
            // It sleeps until somebody comes: be that somebody.
            drop(TcpStream::connect(self.address));
            gate.acceptor.join().expect("the acceptor does not panic");
        }
        for stream in self.open.lock().expect("no panic").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        if mode != Mode::Refused {
            self.accept(TcpListener::bind(self.address).expect("our own port"), mode);
        }
    }

    fn accept(&self, listener: TcpListener, mode: Mode) {
        let closed = Arc::new(AtomicBool::new(false));
        let (server, open, ended) = (self.server, Arc::clone(&self.open), Arc::clone(&closed));
        let acceptor = thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                match mode {
                    Mode::Good => carry(client, server, &open),
                    Mode::Stalled => open.lock().expect("no panic").push(client),
                    Mode::Reset | Mode::Refused => reset(client),
                }
            }
        });
        *self.gate.lock().expect("no panic") = Some(Gate { closed, acceptor });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.set(Mode::Refused);
    }
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

/// Breaks off a connection; one with a request that nobody has read is reset by that.
fn reset(stream: TcpStream) {
    drop(stream.set_read_timeout(Some(Duration::from_millis(100))));
    drop(stream.peek(&mut [0]));
    drop(stream);
}
