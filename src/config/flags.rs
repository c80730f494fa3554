//! Applies the flags, which override everything else. Pure.

use super::Config;
use crate::{
    cli::{CommonArgs, ExecArgs, RegisterArgs, RenderArgs, SourceArgs, Switch},
    consul::Address,
    core::value,
    docker, exec,
    register::{self, RegisterSettingsError},
    render::{
        self,
        template_argument::{self, TemplateArgumentError},
    },
};

/// Why a flag cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry's address.
    #[error("{flag} cannot be used")]
    Address {
        /// The flag, or the name of the argument.
        flag: &'static str,
        /// Why.
        #[source]
        source: <Address as std::str::FromStr>::Err,
    },
    /// Settings that contradict each other.
    #[error(transparent)]
    Register(#[from] RegisterSettingsError),
    /// A template.
    #[error(transparent)]
    Template(#[from] TemplateArgumentError),
}

impl Config {
    /// Applies the flags of every command.
    ///
    /// # Errors
    /// An address is invalid.
    pub fn with_common(mut self, flags: &CommonArgs) -> Result<Self, Error> {
        if let Some(text) = &flags.consul {
            self.consul.address = parse_address("--consul", text)?;
        }
        Ok(self)
    }

    /// Applies the flags of `register`.
    ///
    /// # Errors
    /// An address is invalid.
    pub fn with_register(mut self, flags: RegisterArgs) -> Result<Self, Error> {
        // In registrator, an empty host means the address from the environment.
        if let Some(text) = flags.registry.filter(|text| !text.eq_ignore_ascii_case("consul://")) {
            self.consul.address = parse_address("the registry", &text)?;
        }
        let settings = self.register;
        self.register = register::Settings {
            ip: text_setting(flags.ip, settings.ip),
            internal: flags.internal.unwrap_or(settings.internal),
            network: text_setting(flags.network, settings.network),
            explicit: flags.explicit.unwrap_or(settings.explicit),
            use_ip_from_label: text_setting(flags.use_ip_from_label, settings.use_ip_from_label),
            tags: flags.tags.or(settings.tags),
            hostname: text_setting(flags.hostname, settings.hostname),
            allow_script_checks: flags.allow_script_checks.unwrap_or(settings.allow_script_checks),
            deregister: flags.deregister.unwrap_or(settings.deregister),
            docker_health: flags.docker_health.map_or(settings.docker_health, |switch| switch == Switch::On),
            docker_starting: flags.docker_starting.unwrap_or(settings.docker_starting),
            ttl: flags.ttl.or(settings.ttl),
            ttl_refresh: flags.ttl_refresh.or(settings.ttl_refresh),
            resync: flags.resync.unwrap_or(settings.resync),
            drain_return: flags.drain_return.unwrap_or(settings.drain_return),
            crash_starts: flags.crash_starts.unwrap_or(settings.crash_starts),
            crash_within: flags.crash_within.unwrap_or(settings.crash_within),
            crash_stable: flags.crash_stable.unwrap_or(settings.crash_stable),
            max_removal: flags.max_removal.unwrap_or(settings.max_removal),
            adopt: flags.adopt.or(settings.adopt),
            on_exit: flags.on_exit.unwrap_or(settings.on_exit),
            retry_attempts: flags.retry_attempts.unwrap_or(settings.retry_attempts),
            retry_interval: flags.retry_interval.unwrap_or(settings.retry_interval),
            watch: settings.watch && !flags.no_watch,
        };
        self.register.validate()?;
        self.docker = docker::Settings { host: flags.docker.or(self.docker.host), ..self.docker };
        Ok(self)
    }

    /// Applies the flags of `render`.
    ///
    /// # Errors
    /// A template argument is invalid.
    pub fn with_render(self, flags: RenderArgs) -> Result<Self, Error> {
        let mut config = self.with_sources(flags.sources)?.with_exec(flags.exec);
        config.render.watch &= !flags.no_watch;
        Ok(config)
    }

    /// Applies the flags that say what is rendered. Their templates are added after those of the file.
    ///
    /// # Errors
    /// A template argument is invalid.
    pub fn with_sources(mut self, flags: SourceArgs) -> Result<Self, Error> {
        self.target.extend(template_argument::parse(&flags.template)?);
        self.render = render::RenderSection {
            state_dir: flags.state_dir.or(self.render.state_dir),
            partials: flags.partials.or(self.render.partials),
            files: flags.files.or(self.render.files),
            ..self.render
        };
        Ok(self)
    }

    /// Applies the flags of the supervised child.
    fn with_exec(mut self, flags: ExecArgs) -> Self {
        self.exec = exec::ExecSection {
            command: flags.exec.or(self.exec.command),
            reload_signal: flags.exec_reload_signal.or(self.exec.reload_signal),
            kill_signal: flags.exec_kill_signal.or(self.exec.kill_signal),
            kill_timeout: flags.exec_kill_timeout.or(self.exec.kill_timeout),
            splay: flags.exec_splay.or(self.exec.splay),
            ..self.exec
        };
        self
    }
}

/// The flag, else the setting, without surrounding whitespace and quotes.
fn text_setting(flag: Option<String>, setting: Option<String>) -> Option<String> {
    flag.or(setting).map(|text| value::clean(&text).to_owned())
}

fn parse_address(flag: &'static str, text: &str) -> Result<Address, Error> {
    text.parse().map_err(|source| Error::Address { flag, source })
}
