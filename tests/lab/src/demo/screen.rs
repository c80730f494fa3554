//! The output: lines, and on a terminal a last line that is redrawn.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Standard output. Clones share it.
#[derive(Clone)]
pub(crate) struct Screen {
    begun: Instant,
    terminal: bool,
    live: Arc<Mutex<String>>,
}

/// Moves to the beginning of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

impl Screen {
    /// An empty screen; its clock starts now.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), terminal: io::stdout().is_terminal(), live: Arc::default() }
    }

    /// Whether the live line can be drawn.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints a line above the live one.
    pub(crate) fn say(&self, line: &str) {
        let live = self.live.lock().expect("no panic while it is locked");
        if self.terminal { print(&format!("{CLEAR}{line}\n{live}")) } else { print(&format!("{line}\n")) }
    }

    /// Prints a line with the time since the start.
    pub(crate) fn step(&self, line: &str) {
        self.say(&format!("  {:5.1} s  {line}", self.begun.elapsed().as_secs_f64()));
    }

    /// `step` as a function, for the lab.
    pub(crate) fn progress(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let screen = self.clone();
        move |line| screen.step(line)
    }

    /// Replaces the live line. An empty one removes it.
    pub(crate) fn draw(&self, line: &str) {
        let mut live = self.live.lock().expect("no panic while it is locked");
        line.clone_into(&mut live);
        if self.terminal {
            print(&format!("{CLEAR}{live}"));
        }
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    // A closed output (`| head`) must not end the demo.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
