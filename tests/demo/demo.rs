//! `make demo`: three hosts, and requests that never stop while containers come and go.

// Nothing of a program can be reached from outside.
#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod change;
mod keep;
mod report;
mod screen;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::common::lab::{Lab, portreeve};
use crate::screen::Screen;
use crate::show::Show;

/// Shows Portreeve at work on three hosts that live on this machine only.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Leave the hosts standing afterwards, their balancer and Consul on ports of this machine.
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Step>,
}

#[derive(Subcommand)]
enum Step {
    /// Take down what `--keep` has left standing.
    Down,
    /// Hold a run of the lab (started by `--keep`).
    #[command(hide = true)]
    Hold {
        /// The run's directory.
        run: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The lab panics when it goes wrong; whoever watches a demo wants the reason, and no backtrace.
    std::panic::set_hook(Box::new(|panic| {
        let reason = panic.payload();
        let reason = reason.downcast_ref::<String>().map(String::as_str).or_else(|| reason.downcast_ref().copied());
        eprintln!("\ndemo: {}", reason.unwrap_or("it went wrong"));
    }));
    match arguments.command {
        Some(Step::Down) => keep::down(),
        Some(Step::Hold { run }) => keep::hold(&run),
        None => run(arguments.keep),
    }
}

fn run(keep: bool) -> ExitCode {
    let screen = Screen::new();
    screen.say("Portreeve on three hosts of one machine\n");
    portreeve::program();
    screen.step("portreeve is built");
    let lab = Lab::named("demo").docker(&[1, 2]).consul().nginx().progress(screen.progress()).up();
    let daemons = [lab.register(1), lab.register(2), lab.render()];
    screen.say("");
    for (host, parts) in
        [(1, "docker, consul, portreeve register"), (2, "the same"), (3, "nginx, consul, portreeve render")]
    {
        let host = lab.host(host);
        screen.say(&format!("  {}  {}  {parts}", host.name(), host.address()));
    }

    screen.say("\nRequests to http://192.168.50.103/, 100 a second, each on a new connection:");
    let show = Show::begin(&lab, &screen);
    let changes = show.play();
    let samples = show.end();

    let clean = report::print(&screen, &changes, &samples);
    for daemon in daemons {
        assert!(daemon.running(), "{} has ended: {}", daemon.name(), daemon.log());
    }
    if !clean && let Ok(place) = lab.run().save_logs() {
        screen.say(&format!("\nThe logs of all hosts are in {}", place.display()));
    }
    if keep {
        keep::leave_standing(lab, &screen);
    }
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
