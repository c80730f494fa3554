//! `portreeve explain`.

use portreeve::{
    cli::Explain,
    config::Config,
    consul::{Client, ConsulLedger},
    docker, register,
};

use super::daemon::tell_of_go_template;
use crate::{Failure, answer, failed, usage};

/// Prints what of a container is registered, what is not, and why.
pub(crate) async fn explain(flags: &Explain, config: Config) -> Result<(), Failure> {
    let deadline = flags.register.single.deadline;
    let config = config.with_register(flags.register.clone()).map_err(usage)?;
    tell_of_go_template(&config.register);
    let docker = docker::Client::new(config.docker).map_err(usage)?;
    let ledger = ConsulLedger::new(Client::new(&config.consul).map_err(usage)?);
    let body = ConsulLedger::body;
    let report = register::explain::explain(config.register, docker, &ledger, body, &flags.container, deadline).await;
    let report = report.map_err(|error| if error.is_usage() { usage(error) } else { failed(error) })?;
    answer(flags.format, &report, &report)?;
    if report.is_ok() { Ok(()) } else { Err(Failure::Told) }
}
