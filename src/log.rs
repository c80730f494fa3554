//! How log lines look, and which are written.

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

/// What stands for a level by itself.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts the log; how it is written.
pub(super) fn init(common: &CommonArgs, default: &str) -> anyhow::Result<LogFormat> {
    let level = common.log_level.clone().or_else(|| variable("PORTREEVE_LOG_LEVEL"));
    let filter = parse_filter(&level.unwrap_or_else(|| default.to_owned()))?;
    let format = match (common.log_format, variable("PORTREEVE_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Some(text)) => LogFormat::from_str(&text, true)
            .map_err(|problem| anyhow::anyhow!("in the environment variable PORTREEVE_LOG_FORMAT: {problem}"))?,
        (None, None) => LogFormat::Text,
    };
    // What libraries tell below a warning are the bytes that they send and get: tokens, and the environment of containers.
    let own = filter_fn(|event| event.target().starts_with("portreeve") || *event.level() <= Level::WARN);
    let filter = filter.and(own.with_max_level_hint(LevelFilter::TRACE));
    // A log that nobody can write to ends nothing.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = lines.with_writer(std::io::stderr).with_ansi(Colours::for_stream(&std::io::stderr()).is_on());
    let lines = match format {
        LogFormat::Text => lines.with_target(false).fmt_fields(format::debug_fn(write_field)).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(format)
}

/// Writes a field of a text line. What a message has said in words, as each does, is not repeated: such fields are for
/// the programs that read JSON.
fn write_field(writer: &mut format::Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        "target_name" | "file" | "service" | "instance" | "reason" => Ok(()),
        // Where a line of a dependency comes from.
        name if name.starts_with("log.") => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// A level by itself is Portreeve's own.
fn parse_filter(text: &str) -> anyhow::Result<EnvFilter> {
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let plain = !text.contains(['=', ',', '[']);
    anyhow::ensure!(
        !plain || is_level(text),
        "the log level {text:?} is none of {}, and no filter such as portreeve::docker=debug",
        LEVELS.join(", ")
    );
    let own = |word: &str| if is_level(word.trim()) { format!("portreeve={}", word.trim()) } else { word.to_owned() };
    let words: Vec<_> = text.split(',').map(own).collect();
    // The template engine tells of every call of a helper.
    EnvFilter::try_new(format!("warn,handlebars=off,{}", words.join(",")))
        .map_err(|_| anyhow::anyhow!("--log-level {text:?} is no filter such as portreeve::docker=debug"))
}
