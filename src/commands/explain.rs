//! `portreeve explain`.

use portreeve::{
    cli::ExplainArgs,
    config::Config,
    consul::{Client, ConsulLedger},
    docker, register,
};

use super::daemon::warn_of_go_template;
use super::{CommandFailure, print_answer, run_failure, usage_failure};

/// Prints which ports of a container are registered, which are not, and why.
pub(crate) async fn explain(flags: &ExplainArgs, config: Config) -> Result<(), CommandFailure> {
    let deadline = flags.register.single.deadline;
    let config = config.with_register(flags.register.clone()).map_err(usage_failure)?;
    warn_of_go_template(&config.register);
    let docker = docker::Client::new(config.docker).map_err(usage_failure)?;
    let ledger = ConsulLedger::new(Client::new(&config.consul).map_err(usage_failure)?);
    let body = ConsulLedger::body;
    let report = register::explain::explain(config.register, docker, &ledger, body, &flags.container, deadline).await;
    let report = report.map_err(|error| if error.is_usage() { usage_failure(error) } else { run_failure(error) })?;
    print_answer(flags.format, &report, &report)?;
    if report.is_ok() { Ok(()) } else { Err(CommandFailure::AlreadyPrinted) }
}
