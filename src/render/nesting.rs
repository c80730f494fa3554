//! How deeply a template may be nested: who reads it deeper and deeper needs ever more stack, and at its end the whole
//! process dies.

/// More than anybody can read.
const MAX_DEPTH: usize = 64;

/// The line and column, from 1 on, at which blocks or subexpressions are nested too deeply, and why that is refused.
pub(super) fn find_too_deep(source: &str) -> Option<((usize, usize), String)> {
    let (mut blocks, mut calls) = (0_usize, 0_usize);
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            b'{' if source[at..].starts_with("{{") => {
                calls = 0;
                match source[at + 2..].trim_start_matches('~').bytes().next() {
                    Some(b'#') => blocks += 1,
                    Some(b'/') => blocks = blocks.saturating_sub(1),
                    _ => {}
                }
            }
            b'(' => calls += 1,
            b')' => calls = calls.saturating_sub(1),
            _ => continue,
        }
        if blocks > MAX_DEPTH || (calls > MAX_DEPTH && is_inside_tag(source, at)) {
            let line = source[..at].matches('\n').count() + 1;
            let column = source[..at].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let reason = format!("this is nested more than {MAX_DEPTH} deep; put a part of it into a partial");
            return Some(((line, column), reason));
        }
    }
    None
}

/// Whether the last thing before is the beginning of a tag, and not its end.
fn is_inside_tag(source: &str, at: usize) -> bool {
    source[..at].rfind("{{") > source[..at].rfind("}}")
}

#[cfg(test)]
mod tests {
    use crate::render::{CompiledTemplate, Escape};

    fn blocks(depth: usize) -> String {
        "{{#if true}}\n".repeat(depth) + &"{{~/if}}".repeat(depth)
    }

    fn calls(depth: usize) -> String {
        format!("ä {{{{trim {}\"a\"{}}}}}", "(trim ".repeat(depth), ")".repeat(depth))
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_with_its_place() {
        let fails =
            |source: String| CompiledTemplate::compile("t", source, Escape::None).expect_err("too deep").to_string();
        assert!(fails(blocks(65)).starts_with("t:65:1: this is nested more than 64 deep"), "{}", fails(blocks(65)));
        assert!(fails(calls(65)).starts_with("t:1:394: this is nested"), "{}", fails(calls(65)));
        fails(blocks(100_000));
        fails(calls(100_000));
    }

    #[test]
    fn what_is_not_is_compiled() {
        let flat = "{{#if true}}({{trim (trim \"(\")}}{{/if}}".repeat(300) + &"(".repeat(300);
        for source in [blocks(64), calls(64), flat] {
            CompiledTemplate::compile("t", source, Escape::None).expect("sound");
        }
    }
}
