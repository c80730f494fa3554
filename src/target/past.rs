//! What a target's pass has to do with its past: hold on to a generation, and take down what becomes one.

use std::sync::Arc;

use super::{
    ApplyError, Destination, Target, files, generations,
    rendered::{Digest, Product, Wanted},
};
use crate::{core::condition::chain, sys::blocking::blocking};

impl Target {
    /// The files of the generation that is held on to; what it does not know of the configured files is as the templates
    /// have it.
    pub(super) fn held(&mut self) -> Result<Option<Wanted>, ApplyError> {
        let held = self.history.held();
        if std::mem::replace(&mut self.said.held, held) != held {
            match held {
                Some(held) => tracing::warn!(
                    "target {}: is pinned to {held}, until `portreeve render rollback --release`",
                    self.name
                ),
                None => tracing::info!("target {}: follows its templates again", self.name),
            }
        }
        let Some(mut files) = self.history.held_files()? else { return Ok(None) };
        self.followed = held;
        let desired = self.desired.snapshot();
        self.withhold(&desired);
        for Destination { key, .. } in &self.fixed {
            if let (false, Some(product)) = (files.entries.contains_key(key), desired.entries.get(key)) {
                Arc::make_mut(&mut files.entries).insert(key.clone(), Arc::clone(product));
            }
        }
        Ok(Some(files))
    }

    /// Says of each change that it is not taken.
    fn withhold(&mut self, desired: &Wanted) {
        let digest = Some(Digest::of_files(&desired.entries)).filter(|_| desired.complete);
        let is_new = digest.is_some() && self.said.withheld != digest;
        if let (true, Some(held)) = (is_new, self.said.held) {
            self.said.withheld = digest;
            tracing::warn!(
                "target {}: a change of its files is withheld, since it is pinned to {held}; \
                 `portreeve render rollback --release` unpins it",
                self.name
            );
        }
    }

    /// What the templates became, at the target's pace. What somebody has ordered by hand does not wait.
    pub(super) fn choose(&mut self) -> Wanted {
        let (newest, held) = (self.desired.snapshot(), self.history.held());
        if self.followed != held && newest.complete && self.history.is_followed_by(&newest) {
            self.followed = held;
            self.pace.take_now(newest.clone(), super::now());
            return newest;
        }
        self.pace.choose(newest, super::now())
    }

    /// Records what is in effect.
    pub(super) async fn take_down(&mut self, now: &Wanted) {
        let names = (Digest::of_files(&now.entries), generations::version(now), self.followed);
        if self.recorded == Some(names) {
            return;
        }
        let (history, now, followed) = (self.history.clone(), now.clone(), self.followed);
        match blocking(move || history.record(&now, followed)).await {
            Ok(()) => self.recorded = Some(names),
            Err(error) => tracing::warn!("target {}: this generation cannot be kept: {}", self.name, chain(&error)),
        }
    }

    /// The first generation of all is what lay there before us.
    pub(super) async fn take_down_what_was_there(&mut self) -> Result<(), ApplyError> {
        if self.begun {
            return Ok(());
        }
        let is_first = self.history.generations()?.is_empty();
        self.begun = true;
        if !is_first {
            return Ok(());
        }
        let fixed = self.fixed.clone();
        let there = move |Destination { key, path, wish }: Destination| {
            let present = files::read(&path, wish.symlinks).ok().flatten()?;
            Some((key, Arc::new(Product::new(0, present.bytes))))
        };
        let entries = blocking(move || fixed.into_iter().filter_map(there).collect()).await;
        self.take_down(&Wanted { entries: Arc::new(entries), complete: true, rounds: 0 }).await;
        Ok(())
    }
}
