//! Prints results to standard output.

use std::{fmt, io::Write};

use portreeve::cli::OutputFormat;
use serde::Serialize;

use super::failure::CommandFailure;

/// Prints a result as text or JSON.
pub(crate) fn print_answer(
    format: OutputFormat,
    text: &impl fmt::Display,
    value: &impl Serialize,
) -> Result<(), CommandFailure> {
    match format {
        OutputFormat::Text => print_text(&text.to_string()),
        OutputFormat::Json => print_text(&format!("{:#}\n", serde_json::json!(value))),
    }
}

/// Prints to standard output. A closed pipe is not an error.
pub(crate) fn print_text(text: &str) -> Result<(), CommandFailure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandFailure::Run(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => Ok(()),
    }
}
