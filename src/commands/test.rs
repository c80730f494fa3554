//! `portreeve test`.

use portreeve::{
    cli::Test,
    config::Config,
    template_test::{self, Options},
    ui::colour::Colours,
};

use crate::{Failure, answer, usage};

/// Runs all cases, and prints what came of each.
pub(crate) async fn test(flags: &Test, config: Config) -> Result<(), Failure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage)?;
    let cases = template_test::find(&flags.directory, flags.filter.as_deref()).map_err(usage)?;
    let options = Options { update: flags.update, check: flags.check };
    let report = template_test::run(&cases, &super::settings(config), options).await;
    answer(flags.format, &report.text(Colours::on(&std::io::stdout())), &report)?;
    if report.failed() == 0 { Ok(()) } else { Err(Failure::Told) }
}
