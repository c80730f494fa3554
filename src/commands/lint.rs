//! `portreeve lint`.

use portreeve::{
    cli::{LintArgs, WarningPolicy},
    lint, register,
    ui::colour::Colours,
};

use super::{CommandFailure, print_answer, usage_failure};

/// Prints all problems of Compose files.
pub(crate) fn lint(flags: &LintArgs, settings: register::Settings) -> Result<(), CommandFailure> {
    let internal = flags.internal.unwrap_or(settings.internal);
    let explicit = flags.explicit.unwrap_or(settings.explicit);
    let allow_script_checks = flags.allow_script_checks.unwrap_or(settings.allow_script_checks);
    let settings = register::Settings { internal, explicit, allow_script_checks, ..settings };
    let files = lint::lint_files(&flags.files, &settings).map_err(usage_failure)?;
    print_answer(flags.format, &files.text(Colours::for_stream(&std::io::stdout())), &files.json())?;
    let failing = if flags.warnings == WarningPolicy::Deny { lint::Severity::Warning } else { lint::Severity::Error };
    if files.worst_severity().is_some_and(|worst| worst <= failing) {
        Err(CommandFailure::AlreadyPrinted)
    } else {
        Ok(())
    }
}
