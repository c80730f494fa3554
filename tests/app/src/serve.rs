//! Accepts connections and answers requests.

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
    pending: AtomicUsize,
}

/// Counts an answer that a client waits for, until it is dropped.
struct PendingAnswer(Arc<Server>);

impl PendingAnswer {
    fn new(server: &Arc<Server>) -> Self {
        server.pending.fetch_add(1, SeqCst);
        Self(Arc::clone(server))
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, SeqCst);
    }
}

/// The time limit for the request of a client that connects during the shutdown.
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
            pending: AtomicUsize::new(0),
        }
    }

    /// From now on, answers ask the client to close the connection.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// From now on, `accept` returns once it has accepted all waiting connections.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Whether a client waits for an answer.
    pub fn busy(&self) -> bool {
        self.pending.load(SeqCst) > 0
    }

    /// Accepts connections until the server is closed.
    pub fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((connection, _)) => self.spawn(connection),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) => {
                    // Probably no descriptor is free; retry.
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
        let pending = self.draining.load(SeqCst).then(|| PendingAnswer::new(self));
        thread::spawn(move || {
            if let Err(e) = server.serve(&connection, pending) {
                eprintln!("app: {e}");
            }
        });
    }

    /// Answers the requests of a connection. While idle, it does not delay the exit, except for its first request.
    fn serve(self: &Arc<Self>, connection: &TcpStream, mut pending: Option<PendingAnswer>) -> io::Result<()> {
        connection.set_nonblocking(false)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(pending.as_ref().map(|_| LATE_CLIENT))?;
        let mut reader = BufReader::new(connection);
        loop {
            if reader.fill_buf()?.is_empty() {
                return Ok(());
            }
            let _pending = pending.take().unwrap_or_else(|| PendingAnswer::new(self));
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

    /// `POST /health?status=N` sets the status of later answers; its own answer is 200.
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
