//! Targets.
mod settings;
pub use settings::{Command, Kind, Nginx, Reload, Settings, Template};
