//! `portreeve register` beside an agent that hangs, forgets, or is none.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/dev_agent.rs"]
mod dev_agent;

mod answers;
mod once;
mod resync;
mod writes;
