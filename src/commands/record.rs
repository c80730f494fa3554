//! `portreeve record`.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::Context;
use portreeve::{
    cli::RecordArgs,
    config::Config,
    consul::{Client, ConsulSource},
    fixture::Recording,
    registry::Answer,
    render::{self, Answers, Reasons, Setup},
    sys::environment,
};

use super::{CommandFailure, print_text, run_failure, usage_failure};

/// Prints the registry's answers that the templates need, or writes them to a file.
pub(crate) async fn record(flags: &RecordArgs, config: Config) -> Result<(), CommandFailure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage_failure)?;
    let source = ConsulSource::new(Client::new(&config.consul).map_err(usage_failure)?);
    let settings = super::read_only_settings(config);
    let setup = Setup::open_read_only(settings.clone()).map_err(usage_failure)?;
    let env: BTreeMap<_, _> = environment::variables().collect();
    let recorded = render::record(setup, env.clone(), Arc::new(source), flags.deadline).await.map_err(run_failure)?;
    let unrendered = Reasons(recorded.unrendered.iter().map(ToString::to_string).collect());
    if unrendered.0.is_empty() && uses_environment(&settings, env, &recorded.answers)? {
        tracing::warn!("the templates read the environment, which is not recorded: add what they need under `env`");
    }
    if unrendered.0.is_empty() || flags.partial {
        let recording = Recording::new(recorded.answers);
        for service in recording.services_without_key() {
            tracing::warn!("caLeaf {service:?}: the private key is replaced by a placeholder");
        }
        match &flags.output {
            Some(path) => write_file(path, &recording.to_json()).map_err(CommandFailure::Run)?,
            None => print_text(&recording.to_json())?,
        }
    }
    if unrendered.0.is_empty() {
        return Ok(());
    }
    Err(CommandFailure::Run(anyhow::anyhow!("not everything was rendered within {:?}:{unrendered}", flags.deadline)))
}

/// Whether the files differ when the environment is empty.
fn uses_environment(
    settings: &render::Settings,
    env: BTreeMap<String, String>,
    answers: &Answers,
) -> Result<bool, CommandFailure> {
    let rendered = |env| -> Result<_, CommandFailure> {
        let mut setup = Setup::open_read_only(settings.clone()).map_err(usage_failure)?;
        let answer = |query: &_| answers.get(query).map(|answer| Answer::clone(answer));
        Ok(render::render_offline(&mut setup, env, answer).targets)
    };
    Ok(rendered(env)? != rendered(BTreeMap::new())?)
}

/// Not atomic: no other process reads the file at this time.
fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
