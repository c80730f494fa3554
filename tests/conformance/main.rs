//! What consul-template does for Consul data, done by the binary on a real Consul: the rules of a whole, by the same
//! catalog that consul-template's behaviour was measured on.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dev_agent.rs"]
mod dev_agent;

mod bench;
mod changes;
mod commands;
mod data;
mod failure;
mod files;
mod fixture;
mod once;
mod readiness;
