//! Text for people: colours, suggestions for misspelt names, redaction of secrets. Pure.

pub mod colour;
pub mod redact;
pub mod suggest;
