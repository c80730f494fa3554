//! Explains syntax errors in plain words; the parser only names rules of its grammar.

use super::go_template_hints;

/// The position and reason of a syntax error. `stopped`: where the parser stopped; `expected`: the rules that it expected
/// there.
pub(super) fn explain(source: &str, stopped: (usize, usize), expected: &str) -> ((usize, usize), String) {
    let offset = offset(source, stopped);
    let (before, after) = source.split_at(offset);
    let opens = before.trim_end_matches('~').ends_with("{{");
    // Many users write blocks of Go's templates. Handlebars reads their first tag as a call, so the parser stops later.
    let mut tags =
        before.match_indices("{{").map(|(at, _)| (at, source[at + 2..].split("}}").next().unwrap_or_default()));
    if let Some((at, reason)) = tags.find_map(|(at, tag)| Some((at, go_template_hints::block_hint(tag)?))) {
        return (position(source, at), reason);
    }
    let start = if after.starts_with("{{") { Some(offset) } else { before.rfind("{{") };
    let tag = start.map(|start| source[start + 2..].split("}}").next().unwrap_or_default());
    if let Some(reason) = tag.and_then(go_template_hints::tag_hint) {
        return (stopped, reason);
    }
    // `{{ else if x }}` is read as a call up to its end.
    let is_else = after.starts_with("}}") && tag.is_some_and(|tag| tag.split_whitespace().next() == Some("else"));
    let three = before.ends_with("{{{") || (before.ends_with("{{") && after.starts_with('{'));
    if three && !after.is_empty() {
        let reason = "`{{{` prints a value as it is: put a space or a line break between a brace that belongs to the \
                      file and `{{`";
        (stopped, reason.to_owned())
    } else if opens && after.starts_with('/') {
        (stopped, "this closes a block that is not open".to_owned())
    } else if (opens && (after.starts_with("else") || after.starts_with('^'))) || is_else {
        (stopped, "`else` stands outside of a block, or is there twice".to_owned())
    } else if let Some((name, start)) = unclosed_block(source).filter(|_| after.trim().is_empty()) {
        (position(source, start), format!("the block `{{{{#{name}}}}}` is not closed: `{{{{/{name}}}}}` is missing"))
    } else if after.trim().is_empty() {
        (stopped, "the file ends inside of `{{ }}`".to_owned())
    } else {
        (stopped, format!("this is not Handlebars: {}", explain_rule(expected)))
    }
}

/// The innermost block that is open at the end: its name, and the offset of its start.
fn unclosed_block(source: &str) -> Option<(&str, usize)> {
    let mut open = Vec::new();
    for (start, _) in source.match_indices("{{") {
        let tag = source[start + 2..].trim_start_matches('~');
        let name = |tag: &'_ str| tag.find(|c: char| c.is_whitespace() || c == '}' || c == '~').unwrap_or(tag.len());
        if let Some(tag) = tag.strip_prefix('#') {
            let tag = tag.trim_start_matches(['*', '>', ' ']);
            open.push((&tag[..name(tag)], start));
        } else if tag.starts_with('/') {
            open.pop();
        }
    }
    open.pop()
}

/// The meaning of the rules that the parser expected.
fn explain_rule(expected: &str) -> &'static str {
    if expected.contains("path_inline") {
        "a name or a value must stand here"
    } else if expected.contains("helper_parameter") {
        "an argument or `}}` must stand here; texts stand in double quotes"
    } else {
        "it cannot stand here"
    }
}

fn offset(source: &str, (line, column): (usize, usize)) -> usize {
    let start: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    source[start..].char_indices().nth(column - 1).map_or(source.len(), |(at, _)| start + at)
}

/// Line and column, counting from 1.
pub(super) fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
