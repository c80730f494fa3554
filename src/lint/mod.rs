//! `portreeve lint`: finds mistakes in Compose files before they are deployed. Pure, except for `files`.
//!
//! ```text
//! text --yaml--> nodes with positions --compose--> services --evaluated_service--> instances --rules--> findings
//! ```
//!
//! Names, ids, addresses, Meta and checks come from the functions that `register` itself uses.

mod coercion;
mod compose;
mod evaluated_service;
mod expected_shape;
mod files;
mod finding;
mod lint_text;
mod port_mapping;
mod rules;
mod text;
mod yaml;

pub use files::{Error, LintReport, lint_files};
pub use finding::{Finding, FindingLine, Severity, SourcePosition};
pub use lint_text::lint_text;
pub use yaml::YamlError;
