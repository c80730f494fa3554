//! `portreeve register` with an agent that hangs, loses data, or is another program.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dev_agent.rs"]
mod dev_agent;

mod answers;
mod once;
mod resync;
mod writes;
