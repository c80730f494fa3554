//! `--dry-run`: prints what would change and the result of the check. Writes no file and reloads nothing.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Setup, once::Reasons, spawn_renderer, target_worker::TargetWorker, unrendered};
use crate::{
    core::{
        condition::error_chain,
        supervise::{TaskPanicked, TaskSet},
    },
    registry::Source,
    target::{ApplyError, CheckVerdict, DesiredFileStore, Diff, Digest, Rejection, RollbackPin},
    ui::colour::{Colours, TextRole},
};

/// How long the renderer may take to make a candidate without the held items.
const RENDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the desired files would not take effect, or cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// A template is not rendered, a target cannot be checked, or its check rejects the candidate.
    #[error("this would not take effect:{0}")]
    WouldNotApply(Reasons),
    /// Standard output cannot be written.
    #[error("cannot print")]
    Print(#[from] io::Error),
    /// A task panicked.
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
}

/// Prints a unified diff for each file that would be changed or removed. Lines that begin with `#` are comments, which
/// `patch` ignores.
///
/// # Errors
/// A template was not rendered before the deadline, a target cannot be checked, or its check rejects the candidate.
pub async fn dry_run<S: Source>(
    mut setup: Setup,
    source: Arc<S>,
    deadline: Duration,
    colours: Colours,
    out: &mut (dyn Write + Send),
) -> Result<(), DryRunError> {
    setup.log_warnings();
    let source = setup.source_with_files(source);
    let stop = CancellationToken::new();
    let mut tasks = TaskSet::new(stop.clone());
    let desired: Vec<_> = setup.target_renderers.iter().map(|renderer| renderer.desired.clone()).collect();
    let targets = std::mem::take(&mut setup.targets).into_iter().zip(&setup.target_renderers);
    let mut workers: Vec<_> = targets.map(|(target, renderer)| TargetWorker::new(target, renderer)).collect();
    let mut unrendered =
        spawn_renderer(&mut tasks, setup.template_store, setup.pinned_store, setup.target_renderers, source, &stop);
    let rendered = async {
        for (desired, worker) in desired.iter().zip(&workers) {
            let mut bell = desired.bell();
            while !desired.snapshot().complete
                && !unrendered::has_failure(&unrendered.borrow_and_update(), worker.target.name())
            {
                let changed = tokio::select! {
                    changed = bell.changed() => changed,
                    changed = unrendered.changed() => changed,
                };
                if changed.is_err() {
                    break;
                }
            }
        }
    };
    // Dropping this stops the renderer, which still has to make candidates without held items.
    let mut ended = std::pin::pin!(tasks.join());
    tokio::select! {
        () = rendered => {}
        ended = &mut ended => ended?,
        () = tokio::time::sleep(deadline) => {}
    }
    // `unrendered` may be older than `desired`.
    let is_complete = desired.iter().all(|desired| desired.snapshot().complete);
    let unrendered = if is_complete { Vec::new() } else { unrendered.borrow().clone() };
    let mut problems: Vec<_> = unrendered.iter().map(ToString::to_string).collect();
    for (worker, desired) in workers.iter_mut().zip(&desired) {
        let diff = narrowed_diff(worker, desired).await;
        let (name, pin) = (worker.target.name(), worker.target.history().pin());
        let diff = match diff {
            Ok(diff) => diff,
            Err(error) => {
                problems.push(format!("target {name}: {}", error_chain(&error)));
                continue;
            }
        };
        if let Some(pin) = pin {
            let note = format!(
                "# target {name}: is pinned to {pin}; changes of its files and templates are withheld until \
                 `portreeve render rollback --release`"
            );
            writeln!(out, "{}", colours.paint(TextRole::Warning, note))?;
        }
        let verdict = match (setup.unchecked_targets.contains(name), pin) {
            (true, _) => "this would be written; nothing checks it",
            (false, Some(RollbackPin::Data(_))) => "the check takes this, which waits for the release",
            (false, _) => "this would be taken",
        };
        print_diff(name, &diff, verdict, colours, out)?;
        if let Some(CheckVerdict::Rejected { is_permanent, .. }) = diff.check {
            problems.push(format!("target {name}: the check refuses it; {}", hold_duration_text(is_permanent)));
        }
    }
    // The diffs do not contain the entries that are left out.
    let left_out: Vec<_> = workers.iter().flat_map(|worker| worker.narrowing.hold_reasons()).collect();
    for reason in left_out.iter().flat_map(|reason| reason.lines()) {
        writeln!(out, "{}", colours.paint(TextRole::Warning, format_args!("# {reason}")))?;
    }
    problems.extend(left_out);
    if problems.is_empty() { Ok(()) } else { Err(DryRunError::WouldNotApply(Reasons(problems))) }
}

/// The diff of the candidate that a running Portreeve would apply: without the entries because of which the check would
/// reject it.
async fn narrowed_diff(worker: &mut TargetWorker, desired: &DesiredFileStore) -> Result<Diff, ApplyError> {
    loop {
        let (files, mut bell) = (Digest::of_files(&desired.snapshot().entries), desired.bell());
        bell.mark_unchanged();
        let diff = worker.target.diff().await?;
        let Some(CheckVerdict::Rejected { output, is_permanent }) = &diff.check else { return Ok(diff) };
        let rejection = Rejection::CheckFailed { output: output.clone(), is_permanent: *is_permanent };
        let is_new = worker.hold_culprits(files, rejection).await
            && tokio::time::timeout(RENDER_TIMEOUT, bell.changed()).await.is_ok();
        if !is_new {
            return Ok(diff);
        }
    }
}

/// `verdict` is printed as a comment if the check accepts the candidate.
fn print_diff(
    target: &str,
    diff: &Diff,
    verdict: &str,
    colours: Colours,
    out: &mut (dyn Write + Send),
) -> io::Result<()> {
    diff.files.iter().try_for_each(|file| out.write_all(colours.diff(&file.unified).as_bytes()))?;
    let role = match diff.check {
        Some(CheckVerdict::Rejected { .. }) => TextRole::Error,
        Some(CheckVerdict::Accepted { .. }) => TextRole::Success,
        None => TextRole::Note,
    };
    let mut comment = |text: &str| {
        text.lines().try_for_each(|line| writeln!(out, "{}", colours.paint(role, format_args!("# {line}"))))
    };
    match &diff.check {
        None if diff.complete => comment(&format!("target {target}: nothing would change")),
        None => comment(&format!("target {target}: not rendered")),
        Some(CheckVerdict::Accepted { warnings }) => {
            comment(&format!("target {target}: {verdict}"))?;
            warnings.iter().try_for_each(|warning| comment(warning))
        }
        Some(CheckVerdict::Rejected { output, is_permanent }) => comment(&format!(
            "target {target}: the check refuses this:\n{output}\n{}",
            hold_duration_text(*is_permanent)
        )),
    }
}

/// How long a running Portreeve would wait before it tries the candidate again.
fn hold_duration_text(is_permanent: bool) -> &'static str {
    if is_permanent {
        "it would be held until the templates, their data or the configuration change"
    } else {
        "it would be held for some seconds, up to a minute, and tried again"
    }
}
