//! Cuts, changes and pads texts. Lengths and positions count characters.

use serde_json::Value;

use super::{HelperCall, HelperDefinition, list::range, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("trim", 1..=2, &[], trim),
    pure_helper("trimPrefix", 2..=2, &[], |call| {
        map_two(call, |text, prefix| text.strip_prefix(prefix).unwrap_or(text))
    }),
    pure_helper("trimSuffix", 2..=2, &[], |call| {
        map_two(call, |text, suffix| text.strip_suffix(suffix).unwrap_or(text))
    }),
    pure_helper("trimSpace", 1..=1, &[], |call| Ok(call.text(0)?.trim().into())),
    pure_helper("toLower", 1..=1, &[], |call| Ok(call.text(0)?.to_lowercase().into())),
    pure_helper("toUpper", 1..=1, &[], |call| Ok(call.text(0)?.to_uppercase().into())),
    pure_helper("toTitle", 1..=1, &[], |call| Ok(title(&call.text(0)?).into())),
    pure_helper("replaceAll", 3..=3, &[], |call| Ok(call.text(0)?.replace(&call.text(1)?, &call.text(2)?).into())),
    pure_helper("substring", 2..=3, &[], substring),
    pure_helper("hasPrefix", 2..=2, &[], |call| Ok(call.text(0)?.starts_with(&call.text(1)?).into())),
    pure_helper("hasSuffix", 2..=2, &[], |call| Ok(call.text(0)?.ends_with(&call.text(1)?).into())),
    pure_helper("indent", 2..=2, &[], |call| Ok(indent(&call.text(0)?, width(call, 1)?).into())),
    pure_helper("repeat", 2..=2, &[], repeat),
    pure_helper("padLeft", 2..=3, &[], |call| Ok((padding(call)? + &call.text(0)?).into())),
    pure_helper("padRight", 2..=3, &[], |call| Ok((call.text(0)? + &padding(call)?).into())),
];

/// The maximum width or number of repetitions. More is a mistake, and could exhaust the memory.
const MAX_WIDTH: usize = 1_000;

fn width(call: &HelperCall<'_, '_>, index: usize) -> Result<usize, String> {
    let width = call.count(index)?;
    if width <= MAX_WIDTH { Ok(width) } else { Err(call.type_error(index, &format!("{MAX_WIDTH} or less"))) }
}

/// The maximum length of a repeated text, in bytes: nested calls of `repeat` multiply.
const MAX_LENGTH: usize = 1 << 20;

fn repeat(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (text, times) = (call.text(0)?, width(call, 1)?);
    if text.len() * times > MAX_LENGTH {
        return Err(format!("{times} times {} bytes is more than {MAX_LENGTH}", text.len()));
    }
    Ok(text.repeat(times).into())
}

fn map_two(call: &HelperCall<'_, '_>, cut: for<'a> fn(&'a str, &str) -> &'a str) -> Result<Value, String> {
    Ok(cut(&call.text(0)?, &call.text(1)?).into())
}

/// Removes white space, or the given characters, from both ends.
fn trim(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let text = call.text(0)?;
    Ok(match call.optional_text(1)? {
        Some(set) => text.trim_matches(|c| set.contains(c)).into(),
        None => text.trim().into(),
    })
}

/// Converts the first letter of each word to upper case. The other letters do not change.
fn title(text: &str) -> String {
    let mut title = String::with_capacity(text.len());
    let mut starts = true;
    for c in text.chars() {
        if starts {
            title.extend(c.to_uppercase());
        } else {
            title.push(c);
        }
        starts = c.is_whitespace();
    }
    title
}

fn substring(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let text: Vec<char> = call.text(0)?.chars().collect();
    Ok(text[range(call, text.len())?].iter().collect::<String>().into())
}

/// Indents each line that is not empty.
fn indent(text: &str, width: usize) -> String {
    let prefix = " ".repeat(width);
    let lines = text.split_inclusive('\n');
    lines.map(|line| if line == "\n" { line.to_owned() } else { format!("{prefix}{line}") }).collect()
}

/// The padding that widens the first argument to the width in the second. The third is the fill character (default: a
/// space).
fn padding(call: &HelperCall<'_, '_>) -> Result<String, String> {
    let (length, width) = (call.text(0)?.chars().count(), width(call, 1)?);
    let fill = call.optional_text(2)?.unwrap_or_else(|| " ".to_owned());
    let mut chars = fill.chars();
    match (chars.next(), chars.next()) {
        (Some(fill), None) => Ok(fill.to_string().repeat(width.saturating_sub(length))),
        _ => Err(call.type_error(2, "one character")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn texts_are_cut_changed_and_padded() {
        let data = json!({"lines": "a\n\n  b\n", "l": []});
        assert_values(
            &data,
            &[
                (r#"(trim " a b\n")"#, "\"a b\""),
                (r#"(trim "/a/b//" "/")"#, "\"a/b\""),
                (r#"(trim "-/a/-" "/-")"#, "\"a\""),
                (r#"(trimPrefix "v1.2" "v")"#, "\"1.2\""),
                (r#"(trimPrefix "1.2" "v")"#, "\"1.2\""),
                (r#"(trimSuffix "a.b.b" ".b")"#, "\"a.b\""),
                (r#"(trimSpace "\ta \n")"#, "\"a\""),
                (r#"(toLower "GRÖSSE")"#, "\"grösse\""),
                (r#"(toUpper "web")"#, "\"WEB\""),
                (r#"(toTitle "the wEB  is")"#, "\"The WEB  Is\""),
                (r#"(replaceAll "a.b.c" "." "_")"#, "\"a_b_c\""),
                (r#"(substring "größe" 2)"#, "\"öße\""),
                (r#"(substring "größe" 1 3)"#, "\"rö\""),
                (r#"(substring "web" 2 9)"#, "\"b\""),
                (r#"(substring "web" 5)"#, "\"\""),
                (r#"(hasPrefix "web-1" "web")"#, "true"),
                (r#"(hasPrefix "web-1" "eb")"#, "false"),
                (r#"(hasSuffix "web-1" 1)"#, "true"),
                ("(indent lines 2)", r#""  a\n\n    b\n""#),
                (r#"(indent "" 2)"#, "\"\""),
                (r#"(repeat "ab" 3)"#, "\"ababab\""),
                (r#"(repeat "ab" 0)"#, "\"\""),
                (r#"(padLeft 7 3 "0")"#, "\"007\""),
                (r#"(padLeft "größe" 6)"#, "\" größe\""),
                (r#"(padRight "web" 5)"#, "\"web  \""),
                (r#"(padRight "web" 2)"#, "\"web\""),
            ],
        );
        assert_errors(
            &data,
            &[
                ("(toLower l)", "toLower: argument 1 must be a text, not a list"),
                (r#"(indent "a" -1)"#, "indent: argument 2 must be 0 or more, not -1"),
                (r#"(repeat (repeat (repeat "a" 1000) 1000) 2)"#, "repeat: 2 times 1000000 bytes is more than 1048576"),
                (r#"(repeat "a" 100000000)"#, "repeat: argument 2 must be 1000 or less, not 100000000"),
                (r#"(padLeft "a" 3 "xy")"#, "padLeft: argument 3 must be one character, not \"xy\""),
                (r#"(substring "a" "x")"#, "substring: argument 2 must be a number, not \"x\""),
            ],
        );
    }
}
