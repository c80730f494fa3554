//! The command line: clap types, and the spellings of Go programs.

mod check;
mod exec;
mod explain;
mod go_flags;
mod lint;
mod record;
mod rollback;
mod test;

use std::{path::PathBuf, time::Duration};

use clap::{Arg, Args, Command, Parser, Subcommand, ValueEnum};

pub use check::CheckArgs;
pub use exec::ExecArgs;
pub use explain::ExplainArgs;
pub use go_flags::translate_go_flags;
pub use lint::{LintArgs, WarningPolicy};
pub use record::RecordArgs;
pub use rollback::{RenderCommand, RollbackArgs};
pub use test::TestArgs;

use crate::{
    core::value,
    register::{Adopt, DeregisterPolicy, MaxRemoval, OnExit, StartingPolicy},
};

const EXAMPLES: &str = "\
On each host with containers:
  portreeve register
Beside nginx:
  portreeve render --template web.conf.hbs:/etc/nginx/conf.d/web.conf:'nginx -s reload'";

/// Gets traffic from a load balancer to containers that come and go.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, propagate_version = true, after_help = EXAMPLES)]
#[command(mut_subcommands(same_version))]
pub struct Cli {
    /// The flags of every command.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The command.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// The configuration file (TOML); environment variables and flags override it (default
    /// /etc/portreeve/portreeve.toml, if it exists; also PORTREEVE_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The Consul agent: host:port, http://…, https://…, unix:///… (default 127.0.0.1:8500; also CONSUL_HTTP_ADDR)
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub consul: Option<String>,
    /// Which lines are logged: error, warn, info, debug, trace, or a filter such as portreeve::docker=debug (default
    /// info; also PORTREEVE_LOG_LEVEL)
    #[arg(long, global = true, value_name = "FILTER")]
    pub log_level: Option<String>,
    /// The format of the log on standard error (default text; also PORTREEVE_LOG_FORMAT)
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    #[value(aliases = ["1", "t", "T", "true", "TRUE", "True"])]
    On,
    /// No.
    #[value(aliases = ["0", "f", "F", "false", "FALSE", "False"])]
    Off,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Register this host's containers in Consul, and keep their entries up to date
    Register(Box<RegisterArgs>),
    /// Write files from templates with data from Consul, check them, and reload the program that uses them
    Render(Box<RenderArgs>),
    /// Explain how a container is registered, and whether it gets traffic, or why not
    Explain(Box<ExplainArgs>),
    /// Check Compose files for mistakes before they are deployed
    Lint(LintArgs),
    /// Check the configuration and its templates for mistakes, without Consul
    Check(CheckArgs),
    /// Print Consul's answers to the templates, as a fixture for `test`
    Record(RecordArgs),
    /// Render the templates with fixtures, and compare the results with expected files
    Test(TestArgs),
}

/// `portreeve register`.
#[derive(Clone, Debug, Args)]
pub struct RegisterArgs {
    /// The registry, as in registrator: consul://host:port, consul-tls://host:port, consul-unix:///path
    #[arg(value_name = "REGISTRY", conflicts_with = "consul")]
    pub registry: Option<String>,
    /// The Docker engine: unix:///path or tcp://host:port (default unix:///var/run/docker.sock; also DOCKER_HOST)
    #[arg(long, value_name = "HOST")]
    pub docker: Option<String>,
    /// The address of every instance (default: what the Consul agent advertises)
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// Register containers at their own addresses and ports
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub internal: Option<bool>,
    /// With --internal: the Docker network whose address is registered (default: the one that the container was started
    /// with)
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Register only ports with a SERVICE_NAME
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub explicit: Option<bool>,
    /// The label that contains the address of a container's instances
    #[arg(long, value_name = "LABEL")]
    pub use_ip_from_label: Option<String>,
    /// The first part of each service id (default: the host name that the Docker engine reports)
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Time between two full comparisons of Docker and Consul (default 30s)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub resync: Option<Duration>,
    /// A container that still runs after this time from its stop signal gets traffic again (default 10min)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain_return: Option<Duration>,
    /// Additional tags for every instance, comma-separated; a Handlebars template with the container's id, name, image,
    /// env, labels
    #[arg(long, value_name = "TEMPLATE")]
    pub tags: Option<String>,
    /// Allow checks for which the Consul agent runs a command: CHECK_SCRIPT, CHECK_CMD, CHECK_DOCKER (default false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub allow_script_checks: Option<bool>,
    /// When entries of containers that have ended are removed (default always)
    #[arg(long, value_name = "WHEN")]
    pub deregister: Option<DeregisterPolicy>,
    /// Whether Docker's HEALTHCHECK becomes a check (default on)
    #[arg(long, value_name = "SWITCH")]
    pub docker_health: Option<Switch>,
    /// The status of a container while its HEALTHCHECK has no result yet (default critical)
    #[arg(long, value_name = "WHAT")]
    pub docker_starting: Option<StartingPolicy>,
    /// Add a TTL check to each instance; it becomes critical if it is not refreshed within this time (default none)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// The time between two refreshes of the TTL check
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ttl_refresh: Option<Duration>,
    /// A container that starts this often within --crash-within gets no traffic until it has run for --crash-stable; 0
    /// disables this (default 5)
    #[arg(long, value_name = "COUNT")]
    pub crash_starts: Option<usize>,
    /// See --crash-starts (default 2min)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub crash_within: Option<Duration>,
    /// See --crash-starts (default 1min)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub crash_stable: Option<Duration>,
    /// How many entries may be removed at once without a Docker event, as a number or a percentage; the removal of more
    /// waits for a second full list (default 50%, at least 3)
    #[arg(long, value_name = "COUNT")]
    pub max_removal: Option<MaxRemoval>,
    /// Take over foreign entries whose ids this host's ports need
    #[arg(long, value_name = "WHOSE")]
    pub adopt: Option<Adopt>,
    /// Accepted for compatibility with registrator: clean-up is always on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, hide_short_help = true)]
    pub cleanup: Option<bool>,
    /// What happens to the entries at a clean stop (default keep)
    #[arg(long, value_name = "WHAT")]
    pub on_exit: Option<OnExit>,
    /// How often to retry Consul at the start before register exits; -1: without limit (default -1)
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pub retry_attempts: Option<i64>,
    /// The time between these attempts; a number without a unit is milliseconds (default 2s)
    #[arg(long, value_name = "TIME", value_parser = milliseconds, allow_negative_numbers = true)]
    pub retry_interval: Option<Duration>,
    /// Read the configuration file again only at SIGHUP, not when it is saved
    #[arg(long)]
    pub no_watch: bool,
    /// How a single pass ends
    #[command(flatten)]
    pub single: SinglePassArgs,
}

/// `portreeve render`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RenderArgs {
    /// A subcommand instead of rendering
    #[command(subcommand)]
    pub command: Option<RenderCommand>,
    /// What is rendered
    #[command(flatten)]
    pub sources: SourceArgs,
    /// Read templates, partials and the configuration file again only at SIGHUP, not when they are saved
    #[arg(long)]
    pub no_watch: bool,
    /// The supervised program
    #[command(flatten)]
    pub exec: ExecArgs,
    /// How a single pass ends
    #[command(flatten)]
    pub single: SinglePassArgs,
}

/// What is rendered, in addition to the configuration file.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// A template, the file to write, and a command that reloads the program; may be repeated
    #[arg(long, value_name = "SOURCE:DESTINATION[:COMMAND]")]
    pub template: Vec<String>,
    /// A directory of partials: each *.hbs below it, named by its path without .hbs (default none)
    #[arg(long, value_name = "DIRECTORY")]
    pub partials: Option<PathBuf>,
    /// The directory whose files templates may read with `file` (default none: `file` is refused)
    #[arg(long, value_name = "DIRECTORY")]
    pub files: Option<PathBuf>,
    /// The directory for state that must survive a restart (default /var/lib/portreeve, or the user's state directory)
    #[arg(long, value_name = "DIRECTORY")]
    pub state_dir: Option<PathBuf>,
}

/// A single pass instead of a daemon.
#[derive(Clone, Copy, Debug, Args)]
pub struct SinglePassArgs {
    /// Apply everything once and exit: with 0 if everything was applied, else with 1
    #[arg(long)]
    pub once: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long --once and --dry-run wait for temporary errors
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub deadline: Duration,
}

/// Makes `COMMAND --version` print the name of the program.
fn same_version(command: Command) -> Command {
    command.display_name("portreeve").mut_subcommands(same_version)
}

/// `--consul` for a command that does not use Consul: accepted as a common option, but hidden in the help.
fn unused_consul() -> Arg {
    Arg::new("consul").long("consul").value_name("ADDRESS").hide(true)
}

/// A boolean, in every form that Go flags accept.
fn boolean(text: &str) -> Result<bool, String> {
    value::parse_boolean(text).ok_or_else(|| "write true or false".to_owned())
}

/// A number without a unit is milliseconds, as in registrator's `-retry-interval`.
fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse().map_or_else(|_| duration(text), |milliseconds| Ok(Duration::from_millis(milliseconds)))
}

/// A number without a unit is seconds, as in registrator.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 30s or 1m30s"))
}
