//! One pass over a target: look, plan, carry out, and go back if need be.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{
    Applied, ApplyError, Bad, Contents, Effect, Target,
    blocking::blocking,
    error::Lasting,
    files::{self, FileError, Staged, Swapped, Wish},
    nginx,
    plan::{self, File, Observed, Step, Version, plan, recover},
    process::Absent,
    program::{ReloadError, Sent, Verdict},
    rendered::{Rendered, Wanted},
};
use crate::condition::chain;

/// What is desired and what is there.
pub(super) struct Seen {
    pub(super) observed: Observed,
    pub(super) wanted: Arc<Contents>,
    pub(super) present: Arc<Contents>,
}

/// What a round has at hand between its steps.
#[derive(Default)]
struct Hand {
    staged: BTreeMap<PathBuf, Staged>,
    pending: Option<nginx::Pending>,
    written: Vec<PathBuf>,
    effect: Option<Effect>,
}

/// Why a round ended before its last step.
enum Stop {
    /// Nobody to reload: the rest stays owed.
    NotRunning(Absent),
    /// What is wanted was refused: the next round takes that into account.
    Bad(Bad),
    /// What is present was refused: this as well.
    Waits(String),
    /// From [`Step::Swap`] on, so files may have changed.
    Halfway(Halfway),
    /// Before that.
    Failed(ApplyError),
}

enum Halfway {
    Swap(FileError),
    Reload(ReloadError),
}

impl<E: Into<ApplyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Target {
    /// Makes one pass: brings the files in line with the newest that is desired, and into effect. To drop the future is to crash:
    /// what has begun is brought to its end by the first pass of the next process.
    pub async fn apply(&mut self) -> Result<Applied, ApplyError> {
        let newest = self.desired.snapshot();
        self.bring_in_line(&newest).await
    }

    /// The same with what was desired at one moment.
    pub(super) async fn bring_in_line(&mut self, desired: &Wanted) -> Result<Applied, ApplyError> {
        self.sweep().await;
        let (mut effect, mut waits, mut failure) = (None, None, None);
        // Most often once. A round may only bring an earlier pass to its end, or find out what is bad; then another
        // follows, and the one that replaces files is the last.
        loop {
            let mut seen = self.observe(desired).await?;
            seen.observed.stuck = waits.is_some();
            failure = failure.or(self.bad.as_ref().filter(|_| seen.observed.bad).map(|bad| bad.failure.clone()));
            // Once in a pass is enough, even if the inputs are changing right now.
            seen.observed.bad = failure.is_some();
            let steps = plan(&seen.observed);
            if steps.is_empty() {
                return match (waits, failure, effect) {
                    (Some(output), _, _) => Err(ApplyError::Waits { output }),
                    (None, Some(failure), _) => Err(failure.into()),
                    (None, None, Some(effect)) => Ok(Applied::Done { written: Vec::new(), effect }),
                    (None, None, None) if seen.observed.complete => Ok(Applied::Current),
                    (None, None, None) => Ok(Applied::Waiting),
                };
            }
            let mut hand = Hand::default();
            let round = self.carry_out(&seen, &steps, &mut hand).await;
            let written = hand.written;
            match round {
                Ok(()) => match hand.effect {
                    Some(effect) if !written.is_empty() => return Ok(Applied::Done { written, effect }),
                    now => effect = now.or(effect),
                },
                Err(Stop::NotRunning(absent)) => {
                    return match failure {
                        Some(failure) => Err(failure.into()),
                        None => Ok(Applied::Done { written, effect: Effect::NotRunning(absent) }),
                    };
                }
                Err(Stop::Waits(output)) => waits = Some(output),
                Err(Stop::Bad(bad)) => failure = Some(self.bad.insert(bad).failure.clone()),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Halfway(halfway)) => failure = Some(self.go_back(desired, &seen, halfway).await?),
            }
        }
    }

    /// Looks at everything that a plan is made from.
    pub(super) async fn observe(&mut self, desired: &Wanted) -> Result<Seen, ApplyError> {
        let wanted: Contents = self
            .destinations
            .iter()
            .filter_map(|destination| {
                Some((destination.path.clone(), Arc::clone(&desired.entries.get(&destination.key)?.text)))
            })
            .collect();
        let complete = desired.complete && wanted.len() == self.destinations.len();
        let (destinations, journal, wanted) = (self.destinations.clone(), self.journal.clone(), Arc::new(wanted));
        let shared = Arc::clone(&wanted);
        let (present, files, owed) = blocking(move || {
            let (mut present, mut all) = (Contents::new(), BTreeMap::new());
            for path in destinations.into_iter().map(|destination| destination.path) {
                let wanted = shared.get(&path);
                let mut file = File { wanted: wanted.filter(|_| complete).map(|it| it.digest()), present: None };
                if let Some(found) = files::read(&path)? {
                    let text = match wanted {
                        // Spares hashing what is most often equal.
                        Some(wanted) if wanted.bytes() == found.bytes => Arc::clone(wanted),
                        _ => Arc::new(Rendered::new(found.bytes)),
                    };
                    file.present = Some(Version { digest: text.digest(), access: found.access });
                    present.insert(path.clone(), text);
                }
                all.insert(path, file);
            }
            Ok((present, all, journal.owed()))
        })
        .await
        .map_err(ApplyError::File)?;
        let mut observed = Observed { complete, files, owed, bad: false, stuck: false };
        if let Some(bad) = self.bad.as_ref().map(|bad| bad.inputs).filter(|_| complete && observed.has_changes()) {
            observed.bad = bad == self.program.inputs(&wanted).await.map_err(ApplyError::Check)?;
            if !observed.bad {
                self.bad = None;
            }
        }
        Ok(Seen { observed, wanted, present: Arc::new(present) })
    }

    async fn carry_out(&mut self, seen: &Seen, steps: &[Step], hand: &mut Hand) -> Result<(), Stop> {
        for step in steps {
            self.step(seen, step, hand).await?;
        }
        Ok(())
    }

    async fn step(&mut self, seen: &Seen, step: &Step, hand: &mut Hand) -> Result<(), Stop> {
        tracing::trace!("target {}: {step:?}", self.name);
        let journal = self.journal.clone();
        match step.clone() {
            Step::Check(contents) => self.check(seen, contents).await?,
            Step::Stage(path) => {
                let (wish, text, destination) = (self.wish(&path), Arc::clone(&seen.wanted[&path]), path.clone());
                let staged = blocking(move || files::stage(&destination, text.bytes(), wish)).await;
                hand.staged.insert(path, staged.map_err(ApplyError::File)?);
            }
            Step::Save(path) => {
                let text = Arc::clone(&seen.present[&path]);
                blocking(move || journal.save(text.digest(), text.bytes())).await?;
            }
            Step::Owe(owed) => blocking(move || journal.owe(&owed)).await?,
            Step::Swap(path) => {
                let staged = hand.staged.remove(&path).expect("each file is staged before the first swap");
                let swapped = blocking(move || staged.swap()).await;
                let swapped = swapped.map_err(|error| Stop::Halfway(Halfway::Swap(error)))?;
                self.note(&path, swapped);
                hand.written.push(path);
            }
            Step::Restore(path, former) => {
                let swapped = blocking({
                    let path = path.clone();
                    move || restore(&path, former, |digest| journal.former(digest))
                });
                if let Some(swapped) = swapped.await.map_err(ApplyError::Restore)? {
                    self.note(&path, swapped);
                }
            }
            Step::Reload => match self.program.reload().await.map_err(|error| Stop::Halfway(Halfway::Reload(error)))? {
                Sent::Nothing => hand.effect = Some(Effect::NoReload),
                Sent::NotRunning(absent) => return Err(Stop::NotRunning(absent)),
                Sent::Done => hand.effect = Some(Effect::Verified),
                Sent::Pending(pending) => hand.pending = Some(pending),
            },
            Step::Sync(path) => blocking(move || files::sync(&path)).await.map_err(ApplyError::Sync)?,
            Step::Verify => {
                if let Some(pending) = hand.pending.take() {
                    pending.verify().await.map_err(|error| Stop::Halfway(Halfway::Reload(error)))?;
                    hand.effect = Some(Effect::Verified);
                }
            }
            Step::Settle => blocking(move || journal.settle()).await?,
        }
        Ok(())
    }

    async fn check(&mut self, seen: &Seen, contents: plan::Contents) -> Result<(), Stop> {
        let checked = match contents {
            plan::Contents::Wanted => &seen.wanted,
            plan::Contents::Present => {
                // The check of what is present is for those who are to be told.
                let absent = self.program.absent().await.map_err(|error| Stop::Halfway(Halfway::Reload(error)))?;
                if let Some(absent) = absent {
                    return Err(Stop::NotRunning(absent));
                }
                &seen.present
            }
        };
        let scratch = self.scratch().await?;
        match (self.program.check(checked, scratch).await.map_err(ApplyError::Check)?, contents) {
            (Verdict::Good { warnings, .. }, _) => {
                for warning in warnings.iter().filter(|warning| !self.said.warnings.contains(warning)) {
                    tracing::warn!("target {}: {warning}", self.name);
                }
                self.said.warnings = warnings;
                Ok(())
            }
            (Verdict::Refused { output, .. }, plan::Contents::Present) => Err(Stop::Waits(output)),
            (Verdict::Refused { output, lasting: false, .. }, _) => Err(ApplyError::Refused { output }.into()),
            (Verdict::Refused { output, inputs, .. }, _) => {
                Err(Stop::Bad(Bad { inputs, failure: Lasting::Refused { output } }))
            }
        }
    }

    /// Brings the former files back, and remembers what has failed.
    async fn go_back(&mut self, desired: &Wanted, before: &Seen, halfway: Halfway) -> Result<Lasting, ApplyError> {
        let reload = before.observed.owed.is_some() || matches!(halfway, Halfway::Reload(_));
        let reason = match &halfway {
            Halfway::Swap(error) => chain(error),
            Halfway::Reload(error) => chain(error),
        };
        let not_back = |source| ApplyError::NotBack { reason: reason.clone(), source: Box::new(source) };
        let seen = self.observe(desired).await.map_err(not_back)?;
        let steps = recover(&seen.observed, reload);
        match halfway {
            Halfway::Reload(error) if steps.is_empty() => return Err(ApplyError::Reload(error)),
            _ => tracing::warn!("target {}: {reason}; the former files are put back", self.name),
        }
        match self.carry_out(&seen, &steps, &mut Hand::default()).await {
            Ok(()) | Err(Stop::NotRunning(_)) => {}
            Err(Stop::Failed(error)) => return Err(not_back(error)),
            Err(Stop::Halfway(Halfway::Reload(error))) => return Err(not_back(ApplyError::Reload(error))),
            Err(Stop::Halfway(Halfway::Swap(_)) | Stop::Bad(_) | Stop::Waits(_)) => {
                unreachable!("the way back has neither a swap nor a check")
            }
        }
        if let Halfway::Swap(error) = halfway {
            return Err(ApplyError::File(error));
        }
        let failure = Lasting::TakenBack { reason };
        if seen.observed.complete {
            let inputs = self.program.inputs(&seen.wanted).await.map_err(ApplyError::Check)?;
            self.bad = Some(Bad { inputs, failure: failure.clone() });
        }
        Ok(failure)
    }

    /// A place for the copies that a check looks at.
    pub(super) async fn scratch(&self) -> Result<TempDir, ApplyError> {
        let journal = self.journal.clone();
        Ok(blocking(move || journal.scratch()).await?)
    }

    fn wish(&self, path: &Path) -> Wish {
        let found = self.destinations.iter().find(|destination| destination.path == path);
        found.map(|destination| destination.wish).unwrap_or_default()
    }

    fn note(&mut self, path: &Path, swapped: Swapped) {
        if swapped == Swapped::InPlace && self.said.in_place.insert(path.to_owned()) {
            tracing::warn!(
                "target {}: {} is a mount point, so it is overwritten in place: a reader may see half of it. Mount its \
                 directory instead",
                self.name,
                path.display()
            );
        }
    }

    async fn sweep(&mut self) {
        if !self.swept {
            let destinations = self.destinations.clone();
            blocking(move || destinations.iter().for_each(|destination| files::sweep(&destination.path))).await;
            self.swept = true;
        }
    }
}

/// Puts a former content back, or removes the file.
fn restore(
    path: &Path,
    former: Option<Version>,
    saved: impl Fn(super::Digest) -> Option<Vec<u8>>,
) -> Result<Option<Swapped>, FileError> {
    let Some(Version { digest, access }) = former else {
        return files::remove(path).map(|()| None);
    };
    let bytes = saved(digest).ok_or_else(|| FileError::Lost(path.to_owned()))?;
    let wish = Wish { mode: Some(access.mode), uid: Some(access.uid), gid: Some(access.gid) };
    files::stage(path, &bytes, wish)?.swap().map(Some)
}
