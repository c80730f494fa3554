//! Portreeve routes the traffic of a load balancer to containers that come and go.
//!
//! **A watcher fills a store and rings a bell; a reconciler wakes, plans, applies.** Both modes work this way:
//!
//! ```text
//! register:  Docker ──list, events──► Store<Observation> ──bell──► Registrar: plan ──► write queue ──► Ledger
//!
//! render:    Source ──watch each query──► Store<Answer> ──bell──► Renderer ──► desired files ──bell──► each Target:
//!              ▲                                                     │              stage, check, swap, reload,
//!              └─────────── the queries that the last pass used ─────┘              verify, roll back
//! ```
//!
//! Dependencies point one way: commands → [`register`], [`render`] → [`registry`], [`target`] → [`consul`], [`docker`].
//! Plans are pure functions; the code that applies them makes no decisions.
//!
//! | module | content |
//! |---|---|
//! | [`cli`] | the flags of every command |
//! | [`config`] | defaults, file, environment and flags become one configuration |
//! | [`core`] | store, reconcile loop, tasks and their status, debouncing, conditions |
//! | [`registry`] | services, queries and answers, independent of Consul; the traits `Ledger` and `Source` |
//! | [`consul`] | the client of Consul's HTTP API; `Ledger` and `Source` on it |
//! | [`docker`] | lists, events and inspections fill the store of containers |
//! | [`register`] | containers become instances; the plan and its application |
//! | [`render`] | templates and answers become desired files |
//! | [`target`] | desired files are checked, swapped, verified and rolled back; the program is reloaded |
//! | [`exec`] | the supervised child process |
//! | [`control`] | requests to a running process, on a Unix socket |
//! | [`lint`], [`fixture`], [`template_test`] | checks of Compose files; recorded answers; tests of templates |
//! | [`sys`] | files, file watcher, state directory, process groups, PID 1 |
//! | [`ui`] | colours, suggestions, redaction |

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
