//! `portreeve record`.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::Context;
use portreeve::{
    cli::Record,
    config::Config,
    consul::{Client, ConsulSource},
    fixture::Recording,
    registry::Answer,
    render::{self, Answers, Reasons, Setup},
    sys::environment,
};

use crate::{Failure, failed, tell, usage};

/// Prints the answers with which all templates render.
pub(crate) async fn record(flags: &Record, config: Config) -> Result<(), Failure> {
    let config = config.with_sources(flags.sources.clone()).map_err(usage)?;
    let source = ConsulSource::new(Client::new(&config.consul).map_err(usage)?);
    let settings = super::settings(config);
    let setup = Setup::peek(settings.clone()).map_err(usage)?;
    let env: BTreeMap<_, _> = environment::variables().collect();
    let recorded = render::record(setup, env.clone(), Arc::new(source), flags.deadline).await.map_err(failed)?;
    let open = Reasons(recorded.open.iter().map(ToString::to_string).collect());
    if open.0.is_empty() && reads(&settings, env, &recorded.answers)? {
        tracing::warn!("the templates read the environment, which is not recorded: add what they need under `env`");
    }
    if open.0.is_empty() || flags.partial {
        let recording = Recording::new(recorded.answers);
        for service in recording.keyless() {
            tracing::warn!("caLeaf {service:?}: the private key is left out; a placeholder stands in its place");
        }
        match &flags.output {
            Some(path) => write(path, &recording.json()).map_err(Failure::Run)?,
            None => tell(&recording.json())?,
        }
    }
    if open.0.is_empty() {
        return Ok(());
    }
    Err(Failure::Run(anyhow::anyhow!("not everything was rendered within {:?}:{open}", flags.deadline)))
}

/// Whether the same answers give something else without the environment.
fn reads(settings: &render::Settings, env: BTreeMap<String, String>, answers: &Answers) -> Result<bool, Failure> {
    let rendered = |env| -> Result<_, Failure> {
        let mut setup = Setup::peek(settings.clone()).map_err(usage)?;
        let answer = |query: &_| answers.get(query).map(|answer| Answer::clone(answer));
        Ok(render::offline(&mut setup, env, answer).targets)
    };
    Ok(rendered(env)? != rendered(BTreeMap::new())?)
}

/// Writes a file that nobody else reads meanwhile.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
