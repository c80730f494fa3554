//! What the viewer sees: lines, and on a terminal one more that is drawn again and again.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Standard output. Clones share it.
#[derive(Clone)]
pub struct Screen {
    begun: Instant,
    terminal: bool,
    live: Arc<Mutex<String>>,
}

/// Back to the beginning of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

impl Screen {
    /// A screen with nothing on it; its clock begins.
    pub fn new() -> Self {
        Self { begun: Instant::now(), terminal: io::stdout().is_terminal(), live: Arc::default() }
    }

    /// Whether a live line can be drawn.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints a line above the live one.
    pub fn say(&self, line: &str) {
        let live = self.live.lock().expect("no panic while it is held");
        if self.terminal { print(&format!("{CLEAR}{line}\n{live}")) } else { print(&format!("{line}\n")) }
    }

    /// Prints a line with the time since the beginning.
    pub fn step(&self, line: &str) {
        self.say(&format!("  {:5.1} s  {line}", self.begun.elapsed().as_secs_f64()));
    }

    /// `step`, for others to call.
    pub fn progress(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let screen = self.clone();
        move |line| screen.step(line)
    }

    /// Draws the live line anew; an empty one is none.
    pub fn draw(&self, line: &str) {
        let mut live = self.live.lock().expect("no panic while it is held");
        line.clone_into(&mut live);
        if self.terminal {
            print(&format!("{CLEAR}{live}"));
        }
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    // A viewer who has gone away (`| head`) is no reason to fail.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
