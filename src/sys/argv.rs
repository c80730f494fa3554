//! Splits a command into words as a shell would. The command is run without a shell.

/// Why a text is not a command.
#[derive(Debug)]
pub(crate) enum SplitError {
    /// A quotation mark is missing.
    Quotes(shell_words::ParseError),
    /// This word has a meaning only in a shell.
    Shell(String),
}

/// The words of `text`.
pub(crate) fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let words = shell_words::split(text).map_err(SplitError::Quotes)?;
    match words.iter().find(|word| is_shell_syntax(word)) {
        Some(word) => Err(SplitError::Shell(word.clone())),
        None => Ok(words),
    }
}

/// Whether the word has a special meaning in a shell.
fn is_shell_syntax(word: &str) -> bool {
    let is_operator = ["&&", "||", "|", "&", ";", ">", ">>", "<"].contains(&word);
    is_operator || word.starts_with("$(") || word.starts_with('`') || (word.ends_with(';') && !word.contains(' '))
}
