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

pub mod cli;
pub mod config;
pub mod consul;
pub mod control;
pub mod core;
pub mod docker;
pub mod exec;
pub mod fixture;
pub mod lint;
pub mod register;
pub mod registry;
pub mod render;
pub mod sys;
pub mod target;
pub mod template_test;
pub mod ui;
