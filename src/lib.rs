//! Portreeve gets traffic from a load balancer to containers that come and go.

pub mod condition;
pub mod consul;
pub mod reconcile;
pub mod registry;
pub mod store;
pub mod target;
