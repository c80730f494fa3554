//! What a target does about its failures: it remembers them, and looks whether something has changed that they may
//! depend on.

use std::time::Duration;

use super::{
    Applied, ApplyError, Effect, Target,
    budget::Budget,
    error::Rejection,
    now,
    plan::Observed,
    rendered::{Digest, Wanted},
    retry::{Deferred, Rejected, Retry, Until},
    stamps::Stamps,
};
use crate::{
    core::{condition::chain, reconcile::Next},
    sys::blocking::blocking,
};

/// How often it is looked whether something that is held depends on has changed.
const POLL: Duration = Duration::from_secs(1);

impl Target {
    /// The generation that is held on to. Whoever orders that, or its end, does not wait for what has failed before.
    pub(super) fn ordered(&mut self) -> Result<Option<Wanted>, ApplyError> {
        let before = self.said.held;
        let held = self.held();
        if self.said.held != before {
            self.retry = Retry::new();
        }
        held
    }

    /// Notes that a candidate was not taken, which may depend on `inputs`.
    pub(super) async fn reject(&mut self, inputs: Digest, rejection: Rejection) {
        let stamps = self.stamps(&rejection.to_string()).await;
        self.retry.reject(Rejected { inputs, rejection, stamps, changed: false }, now());
    }

    /// Whether a candidate with these inputs is not tried now.
    pub(super) async fn holds_candidate(&mut self, inputs: Digest) -> bool {
        let Some(rejected) = self.retry.rejected() else { return false };
        let changed =
            rejected.inputs != inputs || rejected.stamps != self.stamps(&rejected.rejection.to_string()).await;
        self.retry.holds_candidate(changed, now())
    }

    /// The failure of the owed reload, if it is not tried now.
    pub(super) async fn holds_reload(&mut self) -> Option<ApplyError> {
        let Deferred { reason, stamps, .. } = self.retry.deferred()?;
        let (reason, changed) = (reason.clone(), *stamps != self.stamps(reason).await);
        self.retry.holds_reload(changed, now()).then_some(ApplyError::Deferred { reason })
    }

    /// Whether the wanted files are tried although the files on the disk are not verified: their reload has failed, and
    /// so far only with other candidates.
    pub(super) fn overtakes(&mut self, desired: &Wanted, observed: &Observed) -> bool {
        observed.complete
            && observed.has_changes()
            && self.retry.deferred().is_some()
            && self.retry.overtakes(Digest::of_files(&desired.entries), now())
    }

    /// Notes the result of a pass.
    pub(super) async fn note_outcome(&mut self, desired: &Wanted, applied: &Result<Applied, ApplyError>) {
        match applied {
            Ok(Applied::Done { effect: Effect::Verified | Effect::NoReload, .. }) => self.retry.succeeded(now()),
            Ok(Applied::Current | Applied::Done { .. }) | Err(ApplyError::Rejected(_)) => self.retry.settled(),
            Ok(Applied::Waiting) => {}
            Err(error) => {
                if let Some(cost) = error.deferral() {
                    let reason = chain(error);
                    let stamps = self.stamps(&reason).await;
                    let tried = match error {
                        ApplyError::NotBack { .. } => Some(Digest::of_files(&desired.entries)),
                        _ => self.retry.deferred().and_then(|deferred| deferred.tried),
                    };
                    self.retry.defer(Deferred { reason, cost, stamps, tried, changed: false }, now());
                }
            }
        }
    }

    /// While something is held, a look at what that depends on is enough, unless something else has happened. `None`: a
    /// pass is due.
    pub(super) async fn rests(&self) -> Option<Next> {
        let until = self.retry.next().filter(|_| self.said.since.is_some())?;
        let is_due = matches!(until, Until::Time(at) if at <= now());
        let is_asked = self.pace.has_news(&self.desired.snapshot()) || self.history.held() != self.said.held;
        if is_due || is_asked || self.has_changed().await { None } else { Some(self.poll()) }
    }

    /// When to look again.
    pub(super) fn poll(&self) -> Next {
        Next::After(self.retry.next().map_or(POLL, |until| until.wait(now(), POLL)))
    }

    async fn has_changed(&self) -> bool {
        let rejected = self.retry.rejected().map(|rejected| (rejected.rejection.to_string(), &rejected.stamps));
        let deferred = self.retry.deferred().map(|deferred| (deferred.reason.clone(), &deferred.stamps));
        match deferred.or(rejected) {
            Some((text, stamps)) => *stamps != self.stamps(&text).await,
            None => true,
        }
    }

    async fn stamps(&self, output: &str) -> Stamps {
        let (output, pid_file) = (output.to_owned(), self.program.pid_file().map(ToOwned::to_owned));
        let changes = Budget::changes(&self.shared);
        blocking(move || Stamps::look(pid_file.as_deref(), &output, changes)).await
    }
}
