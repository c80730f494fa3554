//! A command that is given as one text: split into words as a shell would, but no shell runs it.

/// Why a text is no command of ours.
#[derive(Debug)]
pub(crate) enum SplitError {
    /// A quotation mark without its partner.
    Quotes(shell_words::ParseError),
    /// A word that only a shell understands.
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

/// Whether a shell would take this word for more than a word.
fn is_shell_syntax(word: &str) -> bool {
    let is_operator = ["&&", "||", "|", "&", ";", ">", ">>", "<"].contains(&word);
    is_operator || word.starts_with("$(") || word.starts_with('`') || (word.ends_with(';') && !word.contains(' '))
}
