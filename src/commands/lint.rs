//! `portreeve lint`.

use portreeve::{
    cli::{Lint, Warnings},
    lint, register,
    ui::colour::Colours,
};

use crate::{Failure, answer, usage};

/// Prints all that is wrong with Compose files.
pub(crate) fn lint(flags: &Lint, settings: register::Settings) -> Result<(), Failure> {
    let internal = flags.internal.unwrap_or(settings.internal);
    let explicit = flags.explicit.unwrap_or(settings.explicit);
    let allow_script_checks = flags.allow_script_checks.unwrap_or(settings.allow_script_checks);
    let settings = register::Settings { internal, explicit, allow_script_checks, ..settings };
    let files = lint::read(&flags.files, &settings).map_err(usage)?;
    answer(flags.format, &files.text(Colours::on(&std::io::stdout())), &files.json())?;
    let bad = if flags.warnings == Warnings::Deny { lint::Severity::Warning } else { lint::Severity::Error };
    if files.worst().is_some_and(|worst| worst <= bad) { Err(Failure::Told) } else { Ok(()) }
}
