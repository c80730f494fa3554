//! `make demo`: three hosts, and a steady stream of requests while containers start and stop.

mod change;
mod detach;
mod report;
mod scenario;
mod screen;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portreeve_lab::{Lab, portreeve};

use crate::scenario::Scenario;
use crate::screen::Screen;

/// Shows Portreeve at work on three hosts that exist only on this machine.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Leave the hosts running afterwards, with their balancer and Consul on ports of this machine.
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Remove the hosts that `--keep` has left running.
    Down,
    /// Keep a run of the lab open (started by `--keep`).
    #[command(hide = true)]
    Hold {
        /// The run's directory.
        run: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The lab panics on failure. The message is enough here; a backtrace would hide it.
    std::panic::set_hook(Box::new(|panic| {
        let reason = panic.payload();
        let reason = reason.downcast_ref::<String>().map(String::as_str).or_else(|| reason.downcast_ref().copied());
        eprintln!("\ndemo: {}", reason.unwrap_or("it went wrong"));
    }));
    match arguments.command {
        Some(Command::Down) => detach::down(),
        Some(Command::Hold { run }) => detach::hold(&run),
        None => run(arguments.keep),
    }
}

fn run(keep: bool) -> ExitCode {
    let screen = Screen::new();
    portreeve::program();
    screen.say("Portreeve on three hosts of one machine; the daemons on them need some seconds to start:\n");
    let lab = Lab::builder("demo").docker(&[1, 2]).consul().nginx().progress(screen.progress()).up();
    let daemons = [lab.register(1), lab.register(2), lab.render()];
    screen.say("");
    for (host, parts) in
        [(1, "docker, consul, portreeve register"), (2, "the same"), (3, "nginx, consul, portreeve render")]
    {
        let host = lab.host(host);
        screen.say(&format!("  {}  {}  {parts}", host.name(), host.address()));
    }

    screen.say("\nRequests to http://192.168.50.103/, 100 a second, each on a new connection:");
    let scenario = Scenario::start(&lab, &screen);
    let changes = scenario.run();
    let samples = scenario.stop();

    let clean = report::print(&screen, &changes, &samples);
    for daemon in daemons {
        assert!(daemon.running(), "{} has ended: {}", daemon.name(), daemon.log());
    }
    if !clean && let Ok(logs) = lab.run().save_logs() {
        screen.say(&format!("\nThe logs of all hosts are in {}", logs.display()));
    }
    if keep {
        detach::leave_running(lab, &screen);
    }
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
