//! No entry can block a file: the binary with a real Consul and a real nginx.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dev_agent.rs"]
mod dev_agent;
#[path = "../targets/mod.rs"]
mod targets;

mod entries;
mod harness;
mod hostile;
mod reloads;
