//! `--dry-run`: what would change, and what the check says about it. Nothing is touched.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Setup, narrowing::Narrowing, once::Reasons, spawn_renderer, target_worker::TargetWorker, unrendered};
use crate::{
    core::{
        condition::error_chain,
        supervise::{TaskPanicked, TaskSet},
    },
    registry::Source,
    target::{ApplyError, CheckPreview, DesiredFileStore, Diff, Digest, Rejection, RollbackPin},
    ui::colour::{Colours, TextRole},
};

/// How long the renderer may take to make a candidate without the held items.
const RENDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why not all that would change can be shown, or would be taken.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// Something is not rendered, cannot be checked, or would be refused.
    #[error("this would not take effect:{0}")]
    WouldNotApply(Reasons),
    /// Nobody reads what is printed.
    #[error("cannot print")]
    Print(#[from] io::Error),
    /// A task panicked.
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
}

/// Prints a unified diff for each file that would change, or go. Lines that begin with `#` are ours, and nothing to `patch`.
///
/// # Errors
/// What could not be rendered before the deadline, cannot be checked, or would be refused.
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
    let sets: Vec<_> = setup.target_renderers.iter().map(|set| set.desired.clone()).collect();
    let narrowings: Vec<_> = setup.target_renderers.iter().map(|set| set.narrowing.clone()).collect();
    let workers = std::mem::take(&mut setup.targets).into_iter().zip(&setup.target_renderers);
    let mut workers: Vec<_> = workers.map(|(target, set)| TargetWorker::new(target, set)).collect();
    let mut open =
        spawn_renderer(&mut tasks, setup.template_store, setup.pinned_store, setup.target_renderers, source, &stop);
    let rendered = async {
        for (desired, worker) in sets.iter().zip(&workers) {
            let mut bell = desired.bell();
            while !desired.snapshot().complete
                && !unrendered::has_failure(&open.borrow_and_update(), worker.target.name())
            {
                let changed = tokio::select! {
                    changed = bell.changed() => changed,
                    changed = open.changed() => changed,
                };
                if changed.is_err() {
                    break;
                }
            }
        }
    };
    // Dropping this ends the renderer, which is needed while entries are left out.
    let mut ended = std::pin::pin!(tasks.join());
    tokio::select! {
        () = rendered => {}
        ended = &mut ended => ended?,
        () = tokio::time::sleep(deadline) => {}
    }
    // What is rendered by now may still stand among what was open a moment ago.
    let whole = sets.iter().all(|desired| desired.snapshot().complete);
    let open = if whole { Vec::new() } else { open.borrow().clone() };
    let mut trouble: Vec<_> = open.iter().map(ToString::to_string).collect();
    for (worker, desired) in workers.iter_mut().zip(&sets) {
        let diff = narrowed_diff(worker, desired).await;
        let target = &worker.target;
        match diff {
            Ok(diff) => {
                let pinned = target.history().pin();
                if let Some(held) = pinned {
                    let note = format!(
                        "# target {}: is pinned to {held}; changes of its files and templates are withheld until \
                         `portreeve render rollback --release`",
                        target.name()
                    );
                    writeln!(out, "{}", colours.paint(TextRole::Warning, note))?;
                }
                let good = match (setup.unchecked_targets.contains(target.name()), pinned) {
                    (true, _) => "this would be written; nothing checks it",
                    // It is not, as long as the target is pinned.
                    (false, Some(RollbackPin::Data(_))) => "the check takes this, which waits for the release",
                    (false, _) => "this would be taken",
                };
                print_diff(target.name(), &diff, good, colours, out)?;
                if let Some(CheckPreview::Rejected { is_permanent: certain, .. }) = diff.check {
                    trouble.push(format!(
                        "target {}: the check refuses it; {}",
                        target.name(),
                        hold_duration_text(certain)
                    ));
                }
            }
            Err(error) => trouble.push(format!("target {}: {}", target.name(), error_chain(&error))),
        }
    }
    // The diffs are without entries that cannot be printed or are refused.
    let left_out: Vec<_> = narrowings.iter().flat_map(Narrowing::hold_reasons).collect();
    for reason in left_out.iter().flat_map(|reason| reason.lines()) {
        writeln!(out, "{}", colours.paint(TextRole::Warning, format_args!("# {reason}")))?;
    }
    trouble.extend(left_out);
    if trouble.is_empty() { Ok(()) } else { Err(DryRunError::WouldNotApply(Reasons(trouble))) }
}

/// The diff that a running Portreeve would reach: without the entries because of which the check refuses a candidate.
async fn narrowed_diff(worker: &mut TargetWorker, desired: &DesiredFileStore) -> Result<Diff, ApplyError> {
    loop {
        let (files, mut bell) = (Digest::of_files(&desired.snapshot().entries), desired.bell());
        bell.mark_unchanged();
        let diff = worker.target.diff().await?;
        let Some(CheckPreview::Rejected { output, is_permanent: certain }) = &diff.check else { return Ok(diff) };
        let refusal = Rejection::CheckFailed { output: output.clone(), is_permanent: *certain };
        let is_new = worker.hold_culprits(files, refusal).await
            && tokio::time::timeout(RENDER_TIMEOUT, bell.changed()).await.is_ok();
        if !is_new {
            return Ok(diff);
        }
    }
}

fn print_diff(target: &str, diff: &Diff, good: &str, colours: Colours, out: &mut (dyn Write + Send)) -> io::Result<()> {
    diff.files.iter().try_for_each(|file| out.write_all(colours.diff(&file.unified).as_bytes()))?;
    let meaning = match diff.check {
        Some(CheckPreview::Rejected { .. }) => TextRole::Error,
        Some(CheckPreview::Accepted { .. }) => TextRole::Success,
        None => TextRole::Note,
    };
    let mut comment = |text: &str| {
        text.lines().try_for_each(|line| writeln!(out, "{}", colours.paint(meaning, format_args!("# {line}"))))
    };
    match &diff.check {
        None if diff.complete => comment(&format!("target {target}: nothing would change")),
        None => comment(&format!("target {target}: not rendered")),
        Some(CheckPreview::Accepted { warnings }) => {
            comment(&format!("target {target}: {good}"))?;
            warnings.iter().try_for_each(|warning| comment(warning))
        }
        Some(CheckPreview::Rejected { output, is_permanent: certain }) => {
            comment(&format!("target {target}: the check refuses this:\n{output}\n{}", hold_duration_text(*certain)))
        }
    }
}

/// Until when a running Portreeve would not try it again.
fn hold_duration_text(certain: bool) -> &'static str {
    match certain {
        true => "it would be held until the templates, their data or the configuration change",
        false => "it would be held for some seconds, up to a minute, and tried again",
    }
}
