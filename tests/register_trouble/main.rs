//! `portreeve register` beside an agent that hangs, forgets, or is none.

#[path = "../common/mod.rs"]
mod common;

mod writes;
