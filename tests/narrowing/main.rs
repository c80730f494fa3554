//! No entry can block a file: the binary with a real Consul and a real nginx.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dev_agent.rs"]
mod dev_agent;
#[path = "../targets/mod.rs"]
mod targets;

mod bench;
mod entries;
mod hostile;
mod reloads;
