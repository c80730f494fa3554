//! An instance with its digest.

use std::{ops::Deref, sync::Arc};

use super::Instance;

/// A shared [`Instance`] whose digest was computed once. Clones are cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestedInstance(Arc<(Instance, String)>);

impl DigestedInstance {
    /// See [`Instance::digest`].
    pub fn digest(&self) -> &str {
        &self.0.1
    }
}

impl From<Instance> for DigestedInstance {
    fn from(instance: Instance) -> Self {
        let digest = instance.digest();
        Self(Arc::new((instance, digest)))
    }
}

impl Deref for DigestedInstance {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.0.0
    }
}
