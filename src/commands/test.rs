//! `portreeve test`.

use portreeve::{
    cli::{Format, Test},
    colour::Colours,
    config::Config,
    golden::{self, Options},
};

use crate::{Failure, tell, usage};

/// Runs all cases, and prints what came of each.
pub(crate) async fn test(flags: &Test, config: Config) -> Result<(), Failure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage)?;
    let cases = golden::find(&flags.directory, flags.filter.as_deref()).map_err(usage)?;
    let options = Options { update: flags.update, check: flags.check };
    let report = golden::run(&cases, &super::settings(config), options).await;
    match flags.format {
        Format::Text => tell(&report.text(Colours::on(&std::io::stdout())).to_string())?,
        Format::Json => tell(&format!("{:#}\n", serde_json::json!(report)))?,
    }
    if report.failed() == 0 { Ok(()) } else { Err(Failure::Told) }
}
