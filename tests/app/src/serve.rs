//! Connections and answers.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::request::Request;
use crate::settings::Settings;

/// One app, shared by the threads of its connections.
pub struct Server {
    settings: Settings,
    started: u128,
    health: AtomicU16,
    draining: AtomicBool,
    closed: AtomicBool,
    owed: AtomicUsize,
}

/// An answer that somebody waits for; given when dropped.
struct Owed(Arc<Server>);

impl Owed {
    fn new(server: &Arc<Server>) -> Self {
        server.owed.fetch_add(1, SeqCst);
        Self(Arc::clone(server))
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.owed.fetch_sub(1, SeqCst);
    }
}

/// How long a client that connects while the app leaves may take to send its request.
const LATE_CLIENT: Duration = Duration::from_secs(1);

impl Server {
    pub fn new(settings: Settings) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self {
            settings,
            started,
            health: AtomicU16::new(200),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            owed: AtomicUsize::new(0),
        }
    }

    /// From now on answers ask the client to come with a new connection next time.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// From now on `accept` returns once it has taken what waits in the queue.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Whether somebody waits for an answer.
    pub fn busy(&self) -> bool {
        self.owed.load(SeqCst) > 0
    }

    /// Takes connections until the server is closed.
    pub fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((connection, _)) => self.spawn(connection),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) => {
                    // Out of descriptors, most likely: some will come free.
                    eprintln!("app: accept: {e}");
                    thread::sleep(Duration::from_millis(10));
                }
            }
            if self.closed.load(SeqCst)
                && let Err(e) = listener.set_nonblocking(true)
            {
                eprintln!("app: cannot empty the queue: {e}");
                return;
            }
        }
    }

    fn spawn(self: &Arc<Self>, connection: TcpStream) {
        let server = Arc::clone(self);
        let owed = self.draining.load(SeqCst).then(|| Owed::new(self));
        thread::spawn(move || {
            if let Err(e) = server.serve(&connection, owed) {
                eprintln!("app: {e}");
            }
        });
    }

    /// An idle connection does not hold up the exit, unless an answer is owed from the start.
    fn serve(self: &Arc<Self>, connection: &TcpStream, mut owed: Option<Owed>) -> io::Result<()> {
        connection.set_nonblocking(false)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(owed.as_ref().map(|_| LATE_CLIENT))?;
        let mut reader = BufReader::new(connection);
        loop {
            if reader.fill_buf()?.is_empty() {
                return Ok(());
            }
            let _owed = owed.take().unwrap_or_else(|| Owed::new(self));
            let Some(request) = Request::read(&mut reader)? else { return Ok(()) };
            if !self.answer(&request, connection)? {
                return Ok(());
            }
        }
    }

    /// Returns whether the connection stays open.
    fn answer(&self, request: &Request, mut to: &TcpStream) -> io::Result<bool> {
        let status = match request.path.as_str() {
            "/health" => self.health(request),
            "/slow" => {
                thread::sleep(Duration::from_millis(request.number("ms").unwrap_or(0)));
                200
            }
            _ => 200,
        };
        let Settings { name, version, .. } = &self.settings;
        let body = format!("{name} {version}\n");
        let keep_alive = request.keep_alive && !self.draining.load(SeqCst);
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\n\
             Content-Type: text/plain\r\n\
             Content-Length: {length}\r\n\
             Connection: {connection}\r\n\
             X-Instance: {name}\r\n\
             X-Version: {version}\r\n\
             X-Started: {started}\r\n\r\n",
            reason = if status == 200 { "OK" } else { "Told So" },
            length = body.len(),
            connection = if keep_alive { "keep-alive" } else { "close" },
            started = self.started,
        );
        let body = if request.method == "HEAD" { "" } else { &body };
        to.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())?;
        Ok(keep_alive)
    }

    /// `POST /health?status=N` sets what `/health` answers from then on, and is answered 200 itself.
    fn health(&self, request: &Request) -> u16 {
        match (request.method.as_str(), request.number("status").and_then(|n| u16::try_from(n).ok())) {
            ("POST", Some(status)) => {
                self.health.store(status, SeqCst);
                200
            }
            _ => self.health.load(SeqCst),
        }
    }
}
