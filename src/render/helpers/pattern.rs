//! Regular expressions in the syntax of the crate `regex`: matching takes linear time, and there is no look-around.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use regex::Regex;
use serde_json::Value;

use super::{HelperCall, HelperDefinition, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("regexMatch", 2..=2, &[], |call| Ok(compiled_pattern(call)?.is_match(&call.text(0)?).into())),
    pure_helper("regexFind", 2..=3, &[], find),
    pure_helper("regexFindAll", 2..=2, &[], find_all),
    pure_helper("regexReplaceAll", 3..=3, &[], replace_all),
];

/// Compiled patterns. A template uses the same few patterns for each member of a list, in every render.
static COMPILED: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());

/// A pattern may contain values from a registry, so the number of cached patterns is limited.
const MAX_CACHED: usize = 64;

/// The second argument, compiled.
fn compiled_pattern(call: &HelperCall<'_, '_>) -> Result<Regex, String> {
    let text = call.text(1)?;
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pattern) = compiled.get(&text) {
        return Ok(pattern.clone());
    }
    let pattern =
        Regex::new(&text).map_err(|error| format!("argument 2 is not a valid pattern: {}", reason(&error)))?;
    if compiled.len() >= MAX_CACHED {
        compiled.clear();
    }
    compiled.insert(text, pattern.clone());
    Ok(pattern)
}

/// The last line of the error. The lines before it repeat the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// The first match, or one of its groups; an empty text if there is none.
fn find(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (text, pattern) = (call.text(0)?, compiled_pattern(call)?);
    let group = if call.len() > 2 { call.count(2)? } else { 0 };
    if group >= pattern.captures_len() {
        return Err(format!("argument 3 is {group}, but the pattern has {} groups", pattern.captures_len() - 1));
    }
    let found = pattern.captures(&text).and_then(|captures| captures.get(group));
    Ok(found.map_or("", |found| found.as_str()).into())
}

fn find_all(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let text = call.text(0)?;
    Ok(compiled_pattern(call)?.find_iter(&text).map(|found| found.as_str()).collect())
}

/// In the replacement `$1` and `${name}` are groups, and `$$` is a dollar sign.
fn replace_all(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (text, replacement) = (call.text(0)?, call.text(2)?);
    Ok(compiled_pattern(call)?.replace_all(&text, replacement.as_str()).into())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{COMPILED, MAX_CACHED};
    use crate::render::helpers::test_support::{assert_errors, assert_values, render_text};

    #[test]
    fn patterns_match_and_replace() {
        assert_values(
            &Value::Null,
            &[
                (r#"(regexMatch "web-12" "^web-[0-9]+$")"#, "true"),
                (r#"(regexMatch "web-x" "^web-\\d+$")"#, "false"),
                (r#"(regexFind "web-12-34" "[0-9]+")"#, "\"12\""),
                (r#"(regexFind "web-12" "([a-z]+)-([0-9]+)" 2)"#, "\"12\""),
                (r#"(regexFind "web" "[0-9]+")"#, "\"\""),
                (r#"(regexFindAll "a1b22" "[0-9]+")"#, r#"["1","22"]"#),
                (r#"(regexReplaceAll "foobar" "foo(.)ar" "${1}oo")"#, "\"boo\""),
                (r#"(regexReplaceAll "a.b.c" "\\." "$$")"#, "\"a$b$c\""),
            ],
        );
        assert_errors(
            &Value::Null,
            &[
                (r#"(regexMatch "a" "(")"#, "regexMatch: argument 2 is not a valid pattern: unclosed group"),
                (r#"(regexMatch "a" "(?=b)")"#, "regexMatch: argument 2 is not a valid pattern: look-around"),
                (r#"(regexFind "a" "a" 1)"#, "regexFind: argument 3 is 1, but the pattern has 0 groups"),
            ],
        );
    }

    #[test]
    fn the_number_of_cached_patterns_is_limited() {
        let many = "{{#each (loop 200)}}{{regexMatch \"x\" (concat \"only here \" this)}}{{/each}}";
        assert_eq!(render_text(&Value::Null, many), Ok("false".repeat(200)));
        assert!(COMPILED.lock().expect("nobody panics with it").len() <= MAX_CACHED);
    }
}
