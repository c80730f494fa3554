//! One pass over a target: look, plan, carry out, and go back if need be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time;

use super::{
    Applied, ApplyError, Effect, Held, Proof, Target,
    budget::Budget,
    error::Rejection,
    files::{self, Access, FileError, Staged, Swapped},
    listing::listing,
    look::Seen,
    nginx, now,
    plan::{self, Origin, Settled, Step, plan, recover},
    process::Absent,
    program::{ReloadError, Sent, Verdict},
    rendered::Wanted,
    replace::{self, Replacement},
    verdict,
};
use crate::{
    core::condition::chain,
    sys::{blocking::blocking, state_dir::StateError},
};

/// How long a step may go on after Portreeve is asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// What a round has at hand between its steps.
#[derive(Default)]
struct Hand {
    staged: BTreeMap<PathBuf, Staged>,
    pending: Option<nginx::Pending>,
    /// When the program was told.
    told: Option<Instant>,
    written: Vec<PathBuf>,
    removed: Vec<PathBuf>,
    effect: Option<Effect>,
}

/// Why a round ended before its last step.
enum Stop {
    /// Nobody to reload: the rest stays owed.
    NotRunning(Absent),
    /// What is wanted was refused: the next round takes that into account.
    Rejected(Rejection),
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

impl Halfway {
    /// What has become of a reload. Nothing is taken back for an error that came before the program was told.
    fn reload(error: ReloadError) -> Stop {
        if error.was_told() { Stop::Halfway(Self::Reload(error)) } else { ApplyError::NotTold(error).into() }
    }
}

impl<E: Into<ApplyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Target {
    /// Makes one pass: writes the newest desired files and brings them into effect. While they are not all
    /// [known](Self::knows_all), only an owed reload of an earlier pass is tried. Logs what was done, not what failed.
    ///
    /// Dropping the future is equivalent to a crash: the first pass of the next process completes what has begun. Files
    /// that are being swapped at that moment are swapped to the last one.
    pub async fn apply(&mut self) -> Result<Applied, ApplyError> {
        let Some(mut turn) = self.turn().await else { return Err(ApplyError::Stopped) };
        let newest = self.ordered()?.unwrap_or_else(|| self.desired.snapshot());
        self.pace.take_now(newest.clone(), now());
        let applied = self.bring_in_line(&newest).await;
        self.spend(&mut turn, &applied);
        let change = self.pace.note(&applied, now());
        if let Ok(applied) = &applied {
            self.say(applied, &change);
        }
        applied
    }

    /// Whether a pass that is made now brings all files in line.
    pub fn knows_all(&self) -> bool {
        matches!(self.history.held(), Some(Held::Data(_))) || self.desired.snapshot().complete
    }

    /// The same with what was desired at one moment, by who has the turn.
    pub(super) async fn bring_in_line(&mut self, desired: &Wanted) -> Result<Applied, ApplyError> {
        self.sweep().await?;
        self.take_down_what_was_there().await?;
        let applied = self.pursue(desired).await;
        self.note_outcome(desired, &applied).await;
        self.verdict = verdict::of(desired, &applied);
        let is_in_effect = match &applied {
            Ok(Applied::Current) => true,
            Ok(Applied::Done { effect, .. }) => !matches!(effect, Effect::NotRunning(_)),
            _ => false,
        };
        if is_in_effect {
            self.take_down(desired).await;
        }
        applied
    }

    async fn pursue(&mut self, desired: &Wanted) -> Result<Applied, ApplyError> {
        let (mut effect, mut waits, mut failure) = (None, None, None);
        // Most often once. A round may only bring an earlier pass to its end, or find out what is bad; then another
        // follows, and the one that replaces files is the last.
        loop {
            let mut seen = self.observe(desired).await?;
            seen.observed.stuck = waits.is_some();
            let held = self.retry.rejected().filter(|_| seen.observed.bad);
            failure = failure.or(held.map(|held| held.rejection.clone()));
            // Once in a pass is enough, even if the inputs are changing right now.
            seen.observed.bad = failure.is_some();
            seen.observed.stuck |= failure.is_none() && self.overtakes(desired, &seen.observed);
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
            if plan::makes_good(&steps)
                && let Some(deferred) = self.holds_reload().await
            {
                return Err(deferred);
            }
            let mut hand = Hand::default();
            let round = self.carry_out(&seen, &steps, &mut hand).await;
            if round.is_ok() && plan::changes_files(&steps) {
                Budget::note_change(&self.shared);
            }
            if !hand.removed.is_empty() {
                let removed = listing(&hand.removed);
                let name = &self.name;
                tracing::info!(
                    target_name = name,
                    file = removed,
                    "target {name}: removed {removed}: no template makes that any more"
                );
            }
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
                Err(Stop::Rejected(rejection)) => failure = Some(rejection),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Halfway(halfway)) => failure = Some(self.go_back(desired, &seen, halfway).await?),
            }
        }
    }

    async fn carry_out(&mut self, seen: &Seen, steps: &[Step], hand: &mut Hand) -> Result<(), Stop> {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let replacing = rest.iter().take_while(|step| step.replaces_a_file()).count();
            if replacing > 0 {
                self.replace(seen, &rest[..replacing], hand).await?;
                rest = &rest[replacing..];
                continue;
            }
            if matches!(step, Step::Stage(_)) && self.stop.is_cancelled() {
                return Err(ApplyError::Stopped.into());
            }
            let stop = self.stop.clone();
            let enough = async {
                stop.cancelled().await;
                time::sleep(GRACE).await;
            };
            tokio::select! {
                done = self.step(seen, step, hand) => done?,
                // A program that is under way is ended with its group.
                () = enough, if step.may_take_long() => return Err(ApplyError::Stopped.into()),
            }
            rest = &rest[1..];
        }
        Ok(())
    }

    async fn replace(&mut self, seen: &Seen, steps: &[Step], hand: &mut Hand) -> Result<(), Stop> {
        let replacement = |step: &Step| match step {
            Step::Swap(path) => {
                let staged = hand.staged.remove(path).expect("each file is staged before the first swap");
                (path.clone(), Replacement::Swap(staged))
            }
            Step::Remove(path) => (path.clone(), Replacement::Remove(seen.wish(path).symlinks)),
            Step::Restore(path, former) => (path.clone(), Replacement::Restore(*former, seen.wish(path))),
            _ => unreachable!("no other step replaces a file"),
        };
        let replacements = steps.iter().map(replacement).collect();
        let (done, ended) = replace::replace(replacements, self.journal.clone()).await;
        for (step, swapped) in steps.iter().zip(done) {
            match step {
                Step::Swap(path) => hand.written.push(path.clone()),
                Step::Remove(path) => hand.removed.push(path.clone()),
                _ => {}
            }
            if let (Step::Swap(path) | Step::Restore(path, _), Some(swapped)) = (step, swapped) {
                self.note(path, swapped);
            }
        }
        ended.map_err(|error| match steps.first() {
            Some(Step::Restore(..)) => ApplyError::Restore(error).into(),
            _ => Stop::Halfway(Halfway::Swap(error)),
        })
    }

    async fn step(&mut self, seen: &Seen, step: &Step, hand: &mut Hand) -> Result<(), Stop> {
        tracing::trace!("target {}: {step:?}", self.name);
        let journal = self.journal.clone();
        match step.clone() {
            Step::Check(contents) => self.check(seen, contents).await?,
            Step::Adjust(path) => {
                let (wish, destination) = (seen.wish(&path), path.clone());
                blocking(move || files::adjust(&destination, wish)).await.map_err(ApplyError::File)?;
                let (name, file) = (&self.name, path.display().to_string());
                tracing::info!(target_name = name, file, "target {name}: {file}: mode and owner set");
            }
            Step::Announce(names) => blocking(move || journal.announce(names)).await?,
            Step::Stage(path) => {
                let (wish, former, destination) = (seen.wish(&path), former_access(seen, &path), path.clone());
                let text = Arc::clone(&seen.wanted.files[&path]);
                let staged = blocking(move || files::stage(&destination, text.bytes(), wish, former)).await;
                hand.staged.insert(path, staged.map_err(ApplyError::File)?);
            }
            Step::Save(path) => {
                let text = Arc::clone(&seen.present.files[&path]);
                blocking(move || journal.save(text.digest(), text.bytes())).await?;
            }
            Step::Owe(owed) => blocking(move || journal.owe(owed)).await?,
            Step::Swap(_) | Step::Remove(_) | Step::Restore(..) => unreachable!("files are replaced together"),
            Step::Reload => {
                (self.proof, hand.told) = (None, Some(now()));
                let sent = self.program.reload().await;
                let is_told = match &sent {
                    Ok(sent) => matches!(sent, Sent::Done | Sent::Pending(_)),
                    Err(error) => error.was_told(),
                };
                self.was_told |= is_told;
                match sent.map_err(Halfway::reload)? {
                    Sent::Nothing => hand.effect = Some(Effect::NoReload),
                    Sent::NotRunning(absent) => return Err(Stop::NotRunning(absent)),
                    Sent::Done => hand.effect = Some(Effect::Verified),
                    Sent::Pending(pending) => hand.pending = Some(pending),
                }
            }
            Step::Sync(path) => blocking(move || files::sync(&path)).await.map_err(ApplyError::Sync)?,
            Step::Verify => self.verify(hand).await?,
            Step::Settle(files) => {
                self.tell_of_strays(&seen.observed.notes.settled, &files);
                blocking(move || journal.settle(files)).await?;
            }
        }
        Ok(())
    }

    async fn verify(&mut self, hand: &mut Hand) -> Result<(), Stop> {
        let pid = hand.pending.as_ref().map(nginx::Pending::pid);
        let verified = async {
            if let Some(pending) = hand.pending.take() {
                pending.verify().await?;
                hand.effect = Some(Effect::Verified);
            }
            if let Some(probe) = &self.probe {
                probe.run().await?;
                hand.effect = Some(Effect::Verified);
            }
            Ok(())
        };
        if let Err(error) = verified.await {
            // A program that was restarted meanwhile has refused nothing.
            let absent = match pid {
                Some(pid) => self.program.replaced(pid).await,
                None => None,
            };
            return Err(absent.map_or_else(|| Halfway::reload(error), Stop::NotRunning));
        }
        if let Some(told) = hand.told.filter(|_| hand.effect == Some(Effect::Verified)) {
            self.proof = Some(Proof { pid, took: now().saturating_duration_since(told) });
        }
        Ok(())
    }

    async fn check(&mut self, seen: &Seen, contents: plan::Contents) -> Result<(), Stop> {
        let checked = match contents {
            plan::Contents::Wanted => &seen.wanted,
            plan::Contents::Present => {
                // The check of what is present is for those who are to be told.
                let absent = self.program.absent().await.map_err(ApplyError::NotTold)?;
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
                    tracing::warn!(target_name = self.name, "target {}: {warning}", self.name);
                }
                self.said.warnings = warnings;
                self.retry.accepted(now());
                Ok(())
            }
            (Verdict::Refused { output, .. }, plan::Contents::Present) => Err(Stop::Waits(output)),
            (Verdict::Refused { output, inputs, certain }, plan::Contents::Wanted) => {
                let rejection = Rejection::Refused { output, certain };
                self.reject(inputs, rejection.clone()).await;
                Err(Stop::Rejected(rejection))
            }
        }
    }

    /// Brings the former files back, and remembers what has failed.
    async fn go_back(&mut self, desired: &Wanted, before: &Seen, halfway: Halfway) -> Result<Rejection, ApplyError> {
        let reload = before.observed.notes.owed.is_some() || matches!(halfway, Halfway::Reload(_));
        let reason = match &halfway {
            Halfway::Swap(error) => chain(error),
            Halfway::Reload(error) => chain(error),
        };
        let not_back = |source| ApplyError::NotBack { reason: reason.clone(), source: Box::new(source) };
        let seen = self.observe(desired).await.map_err(not_back)?;
        let steps = recover(&seen.observed, reload);
        match halfway {
            Halfway::Reload(error) if steps.is_empty() => return Err(ApplyError::Reload(error)),
            // What comes of it is told when it is over.
            _ => tracing::debug!("target {}: {reason}; the former files are put back", self.name),
        }
        match self.carry_out(&seen, &steps, &mut Hand::default()).await {
            Ok(()) | Err(Stop::NotRunning(_)) => {}
            Err(Stop::Failed(error)) => return Err(not_back(error)),
            Err(Stop::Halfway(Halfway::Reload(error))) => return Err(not_back(ApplyError::Reload(error))),
            Err(Stop::Halfway(Halfway::Swap(_)) | Stop::Rejected(_) | Stop::Waits(_)) => {
                unreachable!("the way back has neither a swap nor a check")
            }
        }
        if let Halfway::Swap(error) = halfway {
            return Err(ApplyError::File(error));
        }
        let rejection = Rejection::TakenBack { reason };
        if seen.observed.complete {
            let inputs = self.program.inputs(&seen.wanted).await.map_err(ApplyError::Check)?;
            self.reject(inputs, rejection.clone()).await;
        }
        Ok(rejection)
    }

    /// A place for the copies that a check looks at.
    pub(super) async fn scratch(&self) -> Result<TempDir, ApplyError> {
        let journal = self.journal.clone();
        Ok(blocking(move || journal.scratch()).await?)
    }

    /// Logs files that are no longer destinations: they are not touched again.
    fn tell_of_strays(&self, before: &Settled, after: &Settled) {
        for (path, _) in before.iter().filter(|(path, origin)| **origin == Origin::Fixed && !after.contains_key(*path))
        {
            let (name, file) = (&self.name, path.display().to_string());
            tracing::warn!(
                target_name = name,
                file,
                "target {name}: {file} is no longer a destination; the file stays, and Portreeve no longer manages it"
            );
        }
    }

    fn note(&mut self, path: &Path, swapped: Swapped) {
        let (name, file) = (&self.name, path.display().to_string());
        if swapped.in_place && self.said.in_place.insert(path.to_owned()) {
            tracing::warn!(
                target_name = name,
                file,
                "target {name}: {file} is a mount point, so it is overwritten in place: a reader may see half of it. Mount \
                 its directory instead"
            );
        }
        if let Some(unkept) = swapped.unkept.filter(|_| self.said.unkept.insert(path.to_owned())) {
            tracing::warn!(target_name = name, file, "target {name}: {file}: {unkept}");
        }
    }

    async fn sweep(&mut self) -> Result<(), ApplyError> {
        if !self.swept {
            let (fixed, journal) = (self.fixed.clone(), self.journal.clone());
            let sweep = move || {
                let notes = journal.notes()?;
                let fixed = fixed.iter().map(|destination| &destination.path);
                let paths: BTreeSet<_> = fixed.chain(notes.known()).chain(&notes.announced).collect();
                paths.into_iter().for_each(|path| files::sweep(path));
                Ok::<_, StateError>(())
            };
            blocking(sweep).await?;
            self.swept = true;
        }
        Ok(())
    }
}

/// The access that a file had which was there before us, and is to be so again.
fn former_access(seen: &Seen, path: &Path) -> Option<Access> {
    let change = seen.observed.notes.owed.as_ref().and_then(|owed| owed.changes.get(path));
    match seen.observed.files[path].wanted {
        plan::Wanted::Content(plan::Draft { origin: None, .. }) => Some(change?.former?.access),
        _ => None,
    }
}
