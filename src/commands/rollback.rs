//! `portreeve render rollback`.

use std::{fmt::Write, path::Path, sync::Arc};

use jiff::Timestamp;
use portreeve::{
    cli::Rollback,
    config::Config,
    consul::{Client, ConsulSource},
    control::{self, ControlError},
    core::condition::chain,
    render::{self, Account, Order, Setup},
    target::Held,
};
use tokio_util::sync::CancellationToken;

use super::signals::end_on_signals;
use crate::{Failure, answer, usage};

/// Orders the portreeve that runs, or does it itself if none does.
pub(crate) async fn rollback(flags: &Rollback, config: Config) -> Result<(), Failure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage)?;
    let state_dir = config.render.state_dir().map_err(usage)?;
    let (target, to, data) = (flags.target.clone(), flags.to, flags.data);
    let order = match () {
        () if flags.list => Order::List { target },
        () if flags.release => Order::Release { target },
        () if flags.diff => Order::Diff { target, to, data },
        () => Order::Rollback { target, to, data },
    };
    let (stop, at_once) = (CancellationToken::new(), CancellationToken::new());
    end_on_signals(stop.clone(), at_once).map_err(Failure::Run)?;
    let refused = |reason: String| refused(reason, &state_dir);
    let socket = control::socket(&state_dir);
    let asked = tokio::select! {
        answer = control::ask(&socket, &order) => answer,
        () = tokio::time::sleep(flags.deadline) => {
            return Err(refused(format!(
                "not known to be in effect within {:?}: see the log of render; `--release` takes it back",
                flags.deadline
            )));
        }
        () = stop.cancelled() => return Err(refused("stopped before the answer came".to_owned())),
    };
    let is_running = asked.is_ok();
    let accounts = match asked {
        Ok(accounts) => accounts,
        Err(ControlError::NobodyThere(_)) => {
            let source = Arc::new(ConsulSource::new(Client::new(&config.consul).map_err(usage)?));
            let setup = Setup::open(config.into()).map_err(usage)?;
            let mut work = std::pin::pin!(render::order(setup, order, source, flags.deadline, &stop));
            let done = tokio::select! {
                done = &mut work => done,
                () = tokio::time::sleep(flags.deadline) => {
                    stop.cancel();
                    work.await
                }
            };
            done.map_err(refused)?
        }
        Err(error) => return Err(refused(chain(&error))),
    };
    answer(flags.format, &text(&accounts, flags, is_running), &accounts)
}

fn refused(reason: String, state_dir: &Path) -> Failure {
    Failure::Run(anyhow::anyhow!("{reason} (state directory {})", state_dir.display()))
}

fn text(accounts: &[Account], flags: &Rollback, is_running: bool) -> String {
    let mut text = String::new();
    for account in accounts {
        let target = &account.target;
        // Writing to a text cannot fail.
        let _ = match account.held {
            _ if flags.diff => write!(text, "{}", account.diff.as_deref().unwrap_or_default()),
            Some(held) if !flags.list => writeln!(text, "{target}: {held} is in effect and pinned"),
            None if flags.release && is_running => writeln!(text, "{target}: follows its templates"),
            None if flags.release => {
                writeln!(text, "{target}: is no longer pinned; its files follow when `portreeve render` runs")
            }
            _ => list(&mut text, account),
        };
    }
    text
}

fn list(text: &mut String, account: &Account) -> std::fmt::Result {
    let Account { target, state_dir, held, in_effect, versions, generations, .. } = account;
    writeln!(text, "{target} (state directory {}):", state_dir.display())?;
    if versions.is_empty() && generations.is_empty() {
        return writeln!(text, "  nothing was in effect yet");
    }
    writeln!(text, "  templates and configuration, which are rendered with present data:")?;
    for version in versions {
        let is_pinned = *held == Some(Held::Templates { templates: version.number });
        let mark = mark(in_effect.version == Some(version.number), is_pinned);
        let (number, since, cause) = (version.number, &version.since, &version.cause);
        writeln!(text, "  {number:>4}  {since}  {:<12}  {cause}{mark}", age(since))?;
    }
    writeln!(text, "  data, which comes back byte for byte (--data):")?;
    for (at, generation) in generations.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| generations[before].version);
        let cause = match (generation.version, before) {
            (None, _) => "before portreeve",
            (version, Some(before)) if version != before => "templates",
            _ => "data",
        };
        let is_pinned = *held == Some(Held::Data(generation.number));
        let mark = mark(in_effect.generation == Some(generation.number), is_pinned);
        let (number, since, files) = (generation.number, &generation.since, generation.files.len());
        let plural = if files == 1 { "" } else { "s" };
        writeln!(text, "  {number:>4}  {since}  {:<12}  {cause}, {files} file{plural}{mark}", age(since))?;
    }
    Ok(())
}

fn mark(is_in_effect: bool, is_pinned: bool) -> &'static str {
    match (is_in_effect, is_pinned) {
        (true, true) => "  (in effect, pinned)",
        (true, false) => "  (in effect)",
        // The next pass brings it into effect.
        (false, true) => "  (pinned)",
        (false, false) => "",
    }
}

/// How long ago that was, in one unit.
fn age(since: &str) -> String {
    let Ok(since) = since.parse::<Timestamp>() else { return String::new() };
    let seconds = Timestamp::now().as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
