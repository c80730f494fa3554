//! Which log lines are written, and how: as text, or as JSON with the task in whose span each was written.

use std::fmt;

use clap::ValueEnum;
use portreeve::{
    cli::{CommonArgs, LogFormat},
    ui::colour::Colours,
};
use tracing::{Level, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::format,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::variable;

/// A level by itself is a valid filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts the log on standard error. Returns its format.
pub(crate) fn init(common: &CommonArgs, default: &str) -> anyhow::Result<LogFormat> {
    let level = common.log_level.clone().or_else(|| variable("PORTREEVE_LOG_LEVEL"));
    let filter = parse_filter(&level.unwrap_or_else(|| default.to_owned()))?;
    let format = match (common.log_format, variable("PORTREEVE_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Some(text)) => LogFormat::from_str(&text, true)
            .map_err(|problem| anyhow::anyhow!("in the environment variable PORTREEVE_LOG_FORMAT: {problem}"))?,
        (None, None) => LogFormat::Text,
    };
    // Below level warn, libraries log the bytes that they send and receive: tokens, the environment of containers.
    let own = filter_fn(|event| event.target().starts_with("portreeve") || *event.level() <= Level::WARN);
    let filter = filter.and(own.with_max_level_hint(LevelFilter::TRACE));
    // A closed standard error must not end the process.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = lines.with_writer(std::io::stderr).with_ansi(Colours::for_stream(&std::io::stderr()).is_on());
    let lines = match format {
        LogFormat::Text => {
            // The message of a text line names its subject; the spans are for programs.
            let filter = filter.and(filter_fn(|metadata| metadata.is_event()));
            lines.with_target(false).fmt_fields(format::debug_fn(write_field)).with_filter(filter).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(lines).init();
    Ok(format)
}

/// Writes a field of a text line. Fields that repeat the message are left out: they are for programs that read JSON.
fn write_field(writer: &mut format::Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        "target_name" | "file" | "service" | "instance" | "reason" => Ok(()),
        // The origin of a line that a dependency logs.
        name if name.starts_with("log.") => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// A level without a module, such as `debug`, applies to Portreeve's own modules only.
fn parse_filter(text: &str) -> anyhow::Result<EnvFilter> {
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let plain = !text.contains(['=', ',', '[']);
    anyhow::ensure!(
        !plain || is_level(text),
        "the log level {text:?} is not one of {}, nor a filter such as portreeve::docker=debug",
        LEVELS.join(", ")
    );
    let own = |word: &str| if is_level(word.trim()) { format!("portreeve={}", word.trim()) } else { word.to_owned() };
    let words: Vec<_> = text.split(',').map(own).collect();
    // The template engine logs every call of a helper, and notify warns of a watched directory that was deleted.
    EnvFilter::try_new(format!("warn,handlebars=off,notify=error,{}", words.join(",")))
        .map_err(|_| anyhow::anyhow!("--log-level {text:?} is not a filter such as portreeve::docker=debug"))
}
