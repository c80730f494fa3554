//! What a target's pass has to do with its past: hold on to a generation, and take down what becomes one.

use std::sync::Arc;

use super::{
    ApplyError, Destination, Target, files,
    rendered::{Product, Wanted},
    report,
};
use crate::{blocking::blocking, condition::chain};

impl Target {
    /// The generation that is held on to; what it does not know of the configured files is as the templates have it.
    pub(super) fn held(&mut self) -> Result<Option<(u64, Wanted)>, ApplyError> {
        let held = self.history.held_files()?;
        let number = held.as_ref().map(|(number, _)| *number);
        if std::mem::replace(&mut self.said.held, number) != number {
            match number {
                Some(number) => tracing::warn!(
                    "target {}: holds on to generation {number}, whatever its templates become, until `portreeve render \
                     rollback --release`",
                    self.name
                ),
                None => tracing::info!("target {}: follows its templates again", self.name),
            }
        }
        let Some((number, mut files)) = held else { return Ok(None) };
        let desired = self.desired.snapshot();
        for Destination { key, .. } in &self.fixed {
            if let (false, Some(product)) = (files.entries.contains_key(key), desired.entries.get(key)) {
                Arc::make_mut(&mut files.entries).insert(key.clone(), Arc::clone(product));
            }
        }
        Ok(Some((number, files)))
    }

    /// What is in effect becomes the newest generation.
    pub(super) async fn take_down(&mut self, now: &Wanted) {
        let digest = report::digest(now);
        if self.recorded == Some(digest) {
            return;
        }
        let (history, now) = (self.history.clone(), now.clone());
        match blocking(move || history.record(&now)).await {
            Ok(()) => self.recorded = Some(digest),
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
