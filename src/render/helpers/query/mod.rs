//! What asks: each call is recorded by the pass, and what is asked is watched.

mod env;
mod key;
mod service;
mod services;

use super::{Definition, value};

pub(super) const ALL: &[Definition] = &[
    value("service", 0..=1, &["any", "dc", "name", "status", "tag"], service::service),
    value("services", 0..=1, &["dc"], services::services),
    value("key", 0..=1, &["dc", "path"], key::key),
    value("keyOr", 2..=2, &["dc"], key::key_or),
    value("env", 1..=1, &[], env::env),
    value("envOr", 2..=2, &[], env::env_or),
];
