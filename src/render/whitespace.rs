//! Finds blocks that print one line break too few or too many. Pure.
//!
//! A line that contains only a block tag prints nothing. If that is true for only one of the two tags of a block, the
//! line breaks are uneven, which is rarely intended.

use super::syntax::position;

/// A block with uneven line breaks: its position, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnevenBlock {
    pub(super) at: (usize, usize),
    pub(super) reason: String,
}

/// A tag in the source text. `end` is the offset after its last brace.
struct TemplateTag<'a> {
    start: usize,
    end: usize,
    /// Without braces and `~`.
    inner: &'a str,
    /// Whether it removes white space by a `~`. Its line breaks are then intended.
    trims: bool,
}

/// All blocks with uneven line breaks, in the order of their ends.
pub(super) fn uneven_blocks(source: &str) -> Vec<UnevenBlock> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for tag in tags(source) {
        if tag.inner.starts_with('#') {
            open.push(tag);
        } else if tag.inner.starts_with('/')
            && let Some(begin) = open.pop()
        {
            found.extend(check_block(source, &begin, &tag));
        }
    }
    found
}

fn check_block(source: &str, begin: &TemplateTag<'_>, end: &TemplateTag<'_>) -> Option<UnevenBlock> {
    let one_line = !source[begin.start..end.start].contains('\n');
    let (first, last) = (is_alone(source, begin), is_alone(source, end));
    if one_line || first == last || begin.trims || end.trims {
        return None;
    }
    let (line, column) = position(source, begin.start);
    let name = begin.inner[1..].split_whitespace().next().unwrap_or_default();
    let end_line = position(source, end.start).0;
    let reason = if first {
        format!(
            "{{{{#{name}}}}} stands alone on its line, which leaves no line break, but its {{{{/{name}}}}} in line \
             {end_line} does not: what is printed does not end with a line break. Put {{{{/{name}}}}} on a line of its own"
        )
    } else {
        format!(
            "{{{{/{name}}}}} in line {end_line} stands alone on its line, which leaves no line break, but its \
             {{{{#{name}}}}} does not: what is printed begins with a line break. Put {{{{#{name}}}}} on a line of its own, \
             or write {{{{#{name} …~}}}}"
        )
    };
    Some(UnevenBlock { at: (line, column), reason })
}

/// Whether the tag is alone on its line, apart from white space.
fn is_alone(source: &str, tag: &TemplateTag<'_>) -> bool {
    let before = source[..tag.start].rsplit('\n').next().unwrap_or_default();
    let after = source[tag.end..].split('\n').next().unwrap_or_default();
    before.trim().is_empty() && after.trim().is_empty()
}

/// The tags of a template, without comments, escaped tags and raw blocks.
fn tags(source: &str) -> impl Iterator<Item = TemplateTag<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + source[from..].find("{{")?;
            let rest = &source[start..];
            if source[..start].ends_with('\\') {
                from = start + 2;
                continue;
            }
            if rest.starts_with("{{{{") {
                // A raw block ends after its closing tag.
                let close = rest.find("{{{{/").unwrap_or(rest.len());
                from = start + rest[close..].find("}}}}").map_or(rest.len(), |end| close + end + 4);
                continue;
            }
            if let Some(comment) = rest[2..].trim_start_matches('~').strip_prefix("!--") {
                let dashes = source.len() - comment.len() + comment.find("--")?;
                from = dashes + source[dashes..].find("}}")? + 2;
                continue;
            }
            let end = start + rest.find("}}")? + 2;
            from = end;
            let inner = source[start + 2..end - 2].trim();
            let trims = inner.starts_with('~') || inner.ends_with('~');
            return Some(TemplateTag { start, end, inner: inner.trim_matches('~').trim(), trims });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(source: &str) -> Vec<(usize, usize)> {
        uneven_blocks(source).into_iter().map(|block| block.at).collect()
    }

    #[test]
    fn uneven_blocks_are_found() {
        assert_eq!(positions("a\n  {{#each x}}\n{{y}}{{/each}}\n"), [(2, 3)]);
        assert_eq!(positions("a {{#if x}}\nb\n{{/if}}\n"), [(1, 3)]);
        assert_eq!(positions("{{#if a}}\n{{#each b}}\nx{{/each}}\n{{/if}} y"), [(2, 1), (1, 1)]);
        assert_eq!(positions("{{#if a}}\n{{else}}\nx{{/if}}"), [(1, 1)]);
    }

    #[test]
    fn even_and_trimmed_blocks_are_not_reported() {
        for source in [
            "{{#each x}}\ny\n{{/each}}\n",
            "{{#each x}}y{{/each}}\n",
            "a {{#each x}}y{{/each}} b\n",
            "{{#each x}}\r\ny\r\n{{/each}}\r\n",
            "a {{#each x}}\ny\n{{/each}} b",
            "{{#each x~}}\ny{{/each}}\n",
            "{{!-- {{#each x}}\n --}}{{! {{#a }}",
            "\\{{#each x}}\ny{{/each}}",
            "{{{{raw}}}}\n{{#each x}}\ny{{/each}} {{{{/raw}}}}",
            "{{#each x}}\n",
            "{{",
            "}} {{/each}}",
        ] {
            assert_eq!(positions(source), [], "{source}");
        }
    }
}
