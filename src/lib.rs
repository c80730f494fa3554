//! Portreeve gets traffic from a load balancer to containers that come and go.
//!
//! One sentence: **a watcher fills a store and rings a bell; a reconciler wakes, plans, applies.** Both modes are that
//! sentence.
//!
//! ```text
//! register:  docker::watch --list + events--> Store<container> --bell--> reconcile --> Ledger: put, take out, bring back, remove
//! render:    Source::watch --each query-----> Store<query, answer> --bell--> pass --> Store<file> --bell--> each target:
//!              ^                                                      |              check, swap, reload, verify, roll back
//!              +------------ the queries that the last pass used -----+
//! ```
//!
//! Dependencies point one way: [`cli`] and [`config`] -> the modes [`register`] and [`render`] -> [`registry`] and
//! [`target`] -> [`consul`] and [`docker`], which are adapters. Plans are pure; what carries them out decides nothing.

mod argv;
mod blocking;
pub mod cli;
pub mod colour;
pub mod condition;
pub mod config;
pub mod consul;
pub mod control;
pub mod debounce;
pub mod docker;
pub mod environment;
pub mod exec;
pub mod fixture;
pub mod golden;
pub mod lint;
mod process_group;
pub mod random;
pub mod reconcile;
pub mod redact;
pub mod register;
pub mod registry;
mod regular_file;
pub mod render;
pub mod spelling;
pub mod state;
pub mod store;
pub mod supervise;
pub mod target;
mod temporary;
pub mod value;
pub mod watched;
