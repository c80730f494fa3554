//! The log line at the start: the version, the mode, the registry, the engine and the settings.

use std::{fmt::Display, time::Duration};

use portreeve::{config::Config, consul, docker};

use super::Mode;

/// How long to wait for the versions of Consul and Docker. The start must not depend on them.
const VERSION_TIMEOUT: Duration = Duration::from_secs(1);

/// Logs the line, without secrets.
pub(super) async fn log_start(mode: &Mode<'_>, config: &Config) {
    let registry = async {
        let Ok(client) = consul::Client::new(&config.consul) else { return String::new() };
        format!("Consul at {} ({})", client.address(), version(client.version()).await)
    };
    let (name, uses_engine, mut settings) = match mode {
        Mode::Register(_) => ("register", true, config.register.non_default()),
        Mode::Render(_) => {
            let targets: Vec<_> = config.target.iter().map(|target| target.name.to_string()).collect();
            ("render", false, vec![format!("targets={}", targets.join(","))])
        }
    };
    let engine = async {
        let client = uses_engine.then(|| docker::Client::new(config.docker.clone()).ok()).flatten();
        match client {
            Some(client) => format!(", Docker at {} ({})", client.address(), version(client.version()).await),
            None => String::new(),
        }
    };
    let (registry, engine) = tokio::join!(registry, engine);
    let consul = &config.consul;
    let secrets = [("token", consul.token.is_some()), ("http_auth", consul.http_auth.is_some())];
    settings.extend(secrets.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| format!("{name}=***")));
    settings.extend(consul.token_file.iter().map(|file| format!("token_file={}", file.display())));
    settings.extend(consul.datacenter.iter().map(|datacenter| format!("datacenter={datacenter}")));
    let settings = if settings.is_empty() { "defaults".to_owned() } else { settings.join(" ") };
    tracing::info!("portreeve {} {name}: {registry}{engine}; settings: {settings}", env!("CARGO_PKG_VERSION"));
}

async fn version<E: Display>(request: impl Future<Output = Result<String, E>>) -> String {
    match tokio::time::timeout(VERSION_TIMEOUT, request).await {
        Ok(Ok(version)) if !version.is_empty() => version,
        _ => "unknown version".to_owned(),
    }
}
