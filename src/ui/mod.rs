//! What people see: colours, suggestions for misspelt names, and texts without secrets. Pure.

pub mod colour;
pub mod redact;
pub mod suggest;
