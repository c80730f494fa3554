//! Limits how deeply a template is nested. The parser is recursive: without a limit, a template could overflow the stack and
//! abort the process.

use super::{ast::Fault, syntax::position};

/// More than a readable template needs.
const MAX_DEPTH: usize = 64;

/// Where blocks or subexpressions are nested too deeply, and the error.
pub(super) fn find_too_deep(source: &str) -> Option<Fault> {
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
            let reason = format!("this is nested more than {MAX_DEPTH} deep; put a part of it into a partial");
            return Some((position(source, at), reason));
        }
    }
    None
}

/// Whether `at` is between `{{` and `}}`.
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
    fn too_deep_nesting_is_an_error_with_its_position() {
        let fails =
            |source: String| CompiledTemplate::compile("t", source, Escape::None).expect_err("too deep").to_string();
        assert!(fails(blocks(65)).starts_with("t:65:1: this is nested more than 64 deep"), "{}", fails(blocks(65)));
        assert!(fails(calls(65)).starts_with("t:1:394: this is nested"), "{}", fails(calls(65)));
        fails(blocks(100_000));
        fails(calls(100_000));
    }

    #[test]
    fn nesting_up_to_the_limit_compiles() {
        let flat = "{{#if true}}({{trim (trim \"(\")}}{{/if}}".repeat(300) + &"(".repeat(300);
        for source in [blocks(64), calls(64), flat] {
            CompiledTemplate::compile("t", source, Escape::None).expect("it compiles");
        }
    }
}
