//! Command lines in scripts, shell sessions and systemd units.

use clap::{Parser, error::ErrorKind};
use portreeve::cli::{self, Cli};

use super::page::{Block, Page};

/// The shell operators that end a command.
const ENDS: [&str; 8] = ["|", "||", "&&", "&", ";", ">", ">>", "<"];

/// A command, its line, and the output below it.
pub(crate) struct Command {
    pub(crate) line: usize,
    /// The words up to the first operator of [`ENDS`].
    pub(crate) words: Vec<String>,
    pub(crate) output: String,
}

pub(crate) fn problems(page: &Page) -> Vec<(usize, String)> {
    let blocks = page.blocks.iter().filter(|block| ["sh", "console", "ini"].contains(&block.language()));
    let commands = blocks.flat_map(|block| commands(block).into_iter());
    commands.filter_map(|command| command.map_or_else(Some, |command| problem(&command))).collect()
}

/// `None` for a valid command line, and for those of other programs.
fn problem(command: &Command) -> Option<(usize, String)> {
    let words = ours(&command.words)?;
    match Cli::try_parse_from(cli::translate_go_flags(words.iter().map(Into::into))) {
        Ok(_) => None,
        Err(error) if [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()) => None,
        Err(error) => Some((command.line, format!("{}: {error}", words.join(" ")))),
    }
}

/// The `portreeve` command line after `sudo` and variables; `None` for other programs.
pub(crate) fn ours(words: &[String]) -> Option<&[String]> {
    let is_variable = |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.contains(['-', '/']));
    let at = words.iter().position(|word| !is_variable(word) && word != "sudo" && word != "env")?;
    let program = words[at].rsplit('/').next()?;
    (program == "portreeve").then(|| &words[at..])
}

/// The commands of a block. `sh`: each line; `console`: each line after `$ `; systemd unit: its ExecStart.
pub(crate) fn commands(block: &Block) -> Vec<Result<Command, (usize, String)>> {
    let is_session = block.language() == "console";
    let mut commands: Vec<(usize, String, String)> = Vec::new();
    let mut continues = false;
    for (line, text) in (block.line..).zip(block.text.lines()) {
        let start = match block.language() {
            "console" => text.strip_prefix("$ "),
            "ini" => text.strip_prefix("ExecStart="),
            _ => Some(text),
        };
        match (commands.last_mut(), start) {
            (Some((_, command, _)), _) if continues => {
                let text = if is_session { text.strip_prefix("> ").unwrap_or(text) } else { text };
                command.extend([text.trim_end_matches('\\'), " "]);
                continues = text.ends_with('\\');
            }
            (_, Some(text)) => {
                commands.push((line, format!("{} ", text.trim_end_matches('\\')), String::new()));
                continues = text.ends_with('\\');
            }
            (Some((_, _, output)), None) => output.extend([text, "\n"]),
            (None, None) => {}
        }
    }
    commands.into_iter().map(|(line, text, output)| command(line, &text, output)).collect()
}

fn command(line: usize, text: &str, output: String) -> Result<Command, (usize, String)> {
    // A line of a here-document, or a quotation that another line closes, is ignored unless it runs Portreeve.
    let is_ours = text.trim_start().trim_start_matches("sudo ").starts_with("portreeve ");
    let words = match shell_words::split(text) {
        Ok(words) => words,
        Err(error) if is_ours => return Err((line, format!("{text}: {error}"))),
        Err(_) => Vec::new(),
    };
    let words = words.into_iter().take_while(|word| !ENDS.contains(&word.as_str()) && !word.starts_with("2>"));
    Ok(Command { line, words: words.collect(), output })
}
