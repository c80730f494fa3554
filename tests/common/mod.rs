//! What the integration tests share; the lab is a crate of its own (`tests/lab`).

// Every test program compiles this module for itself and uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod black_box;
pub mod fake_consul;
pub mod fake_docker;
pub mod fake_keys;
pub mod witness;
