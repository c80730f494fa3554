//! consul-template's behaviour for Consul data: the binary with a real Consul, and the catalog with which that behaviour
//! was measured.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dev_agent.rs"]
mod dev_agent;

mod changes;
mod commands;
mod data;
mod failure;
mod files;
mod fixture;
mod harness;
mod once;
mod readiness;
