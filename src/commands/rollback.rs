//! `portreeve render rollback`.

use std::{fmt::Write, path::Path, sync::Arc};

use jiff::Timestamp;
use portreeve::{
    cli::RollbackArgs,
    config::Config,
    consul::{Client, ConsulSource},
    control::{self, ControlError},
    core::condition::error_chain,
    render::{self, ControlRequest, Setup, TargetHistory},
    target::RollbackPin,
};
use tokio_util::sync::CancellationToken;

use super::signals::stop_on_signals;
use super::{CommandFailure, print_answer, usage_failure};

/// Sends a request to the running `portreeve render`, or carries it out if none is running.
pub(crate) async fn rollback(flags: &RollbackArgs, config: Config) -> Result<(), CommandFailure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage_failure)?;
    let state_dir = config.render.state_dir().map_err(usage_failure)?;
    let (target, to, data) = (flags.target.clone(), flags.to, flags.data);
    let request = match () {
        () if flags.list => ControlRequest::List { target },
        () if flags.release => ControlRequest::Release { target },
        () if flags.diff => ControlRequest::Diff { target, to, data },
        () => ControlRequest::Rollback { target, to, data },
    };
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    stop_on_signals(stop.clone(), abort).map_err(CommandFailure::Run)?;
    let failure = |reason: String| failure_in(reason, &state_dir);
    let socket = control::socket_path(&state_dir);
    let response = tokio::select! {
        answer = control::send_request(&socket, &request) => answer,
        () = tokio::time::sleep(flags.deadline) => {
            return Err(failure(format!(
                "not confirmed within {:?}: see the log of render; `--release` undoes it",
                flags.deadline
            )));
        }
        () = stop.cancelled() => return Err(failure("stopped before the response arrived".to_owned())),
    };
    let is_running = response.is_ok();
    let histories = match response {
        Ok(histories) => histories,
        Err(ControlError::NotListening(_)) => {
            let source = Arc::new(ConsulSource::new(Client::new(&config.consul).map_err(usage_failure)?));
            let setup = Setup::open(config.into()).map_err(usage_failure)?;
            let mut work = std::pin::pin!(render::execute_request(setup, request, source, flags.deadline, &stop));
            let done = tokio::select! {
                done = &mut work => done,
                () = tokio::time::sleep(flags.deadline) => {
                    stop.cancel();
                    work.await
                }
            };
            done.map_err(failure)?
        }
        Err(error) => return Err(failure(error_chain(&error))),
    };
    print_answer(flags.format, &describe(&histories, flags, is_running), &histories)
}

fn failure_in(reason: String, state_dir: &Path) -> CommandFailure {
    CommandFailure::Run(anyhow::anyhow!("{reason} (state directory {})", state_dir.display()))
}

fn describe(histories: &[TargetHistory], flags: &RollbackArgs, is_running: bool) -> String {
    let mut text = String::new();
    for history in histories {
        let target = &history.target;
        // Writing to a `String` cannot fail.
        let _ = match history.pinned {
            _ if flags.diff => write!(text, "{}", history.diff.as_deref().unwrap_or_default()),
            Some(pin) if !flags.list => writeln!(text, "{target}: {pin} is in effect and pinned"),
            None if flags.release && is_running => writeln!(text, "{target}: follows its templates"),
            None if flags.release => {
                writeln!(text, "{target}: is no longer pinned; its files follow when `portreeve render` runs")
            }
            _ => write_list(&mut text, history),
        };
    }
    text
}

fn write_list(text: &mut String, history: &TargetHistory) -> std::fmt::Result {
    let TargetHistory { target, state_dir, pinned, in_effect, versions, generations, .. } = history;
    writeln!(text, "{target} (state directory {}):", state_dir.display())?;
    if versions.is_empty() && generations.is_empty() {
        return writeln!(text, "  nothing was in effect yet");
    }
    writeln!(text, "  templates and configuration, rendered with the present data:")?;
    for version in versions {
        let is_pinned = *pinned == Some(RollbackPin::Templates { templates: version.number });
        let mark = pin_marker(in_effect.version == Some(version.number), is_pinned);
        let (number, since, cause) = (version.number, &version.since, &version.cause);
        writeln!(text, "  {number:>4}  {since}  {:<12}  {cause}{mark}", age(since))?;
    }
    writeln!(text, "  data, restored byte for byte (--data):")?;
    for (at, generation) in generations.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| generations[before].version);
        let cause = match (generation.version, before) {
            (None, _) => "before portreeve",
            (version, Some(before)) if version != before => "templates",
            _ => "data",
        };
        let is_pinned = *pinned == Some(RollbackPin::Data(generation.number));
        let mark = pin_marker(in_effect.generation == Some(generation.number), is_pinned);
        let (number, since, files) = (generation.number, &generation.since, generation.files.len());
        let plural = if files == 1 { "" } else { "s" };
        writeln!(text, "  {number:>4}  {since}  {:<12}  {cause}, {files} file{plural}{mark}", age(since))?;
    }
    Ok(())
}

fn pin_marker(is_in_effect: bool, is_pinned: bool) -> &'static str {
    match (is_in_effect, is_pinned) {
        (true, true) => "  (in effect, pinned)",
        (true, false) => "  (in effect)",
        // In effect after the next pass.
        (false, true) => "  (pinned)",
        (false, false) => "",
    }
}

/// How long ago that was: `90 s ago`, `3 h ago`.
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
