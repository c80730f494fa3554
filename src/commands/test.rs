//! `portreeve test`.

use portreeve::{
    cli::TestArgs,
    config::Config,
    template_test::{self, TestOptions},
    ui::colour::Colours,
};

use super::{CommandFailure, print_answer, usage_failure};

/// Runs all cases and prints their results.
pub(crate) async fn test(flags: &TestArgs, config: Config) -> Result<(), CommandFailure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage_failure)?;
    let cases = template_test::find_cases(&flags.directory, flags.filter.as_deref()).map_err(usage_failure)?;
    let directory = config.directory().to_owned();
    let options = TestOptions { directory, update: flags.update, check: flags.check };
    let report = template_test::run_cases(&cases, &super::read_only_settings(config), &options).await;
    print_answer(flags.format, &report.text(Colours::for_stream(&std::io::stdout())), &report)?;
    if report.failed_count() == 0 { Ok(()) } else { Err(CommandFailure::AlreadyPrinted) }
}
