//! Creates, counts, slices and concatenates lists.

use serde_json::Value;

use super::{
    HelperCall, HelperDefinition, UNLIMITED,
    call::{describe, to_text},
    pure_helper,
};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("list", 0..=UNLIMITED, &[], |call| Ok(call.values(0)?.into_iter().cloned().collect())),
    pure_helper("loop", 1..=2, &[], loop_),
    pure_helper("len", 1..=1, &[], len),
    pure_helper("first", 1..=2, &[], first),
    pure_helper("last", 1..=2, &[], last),
    pure_helper("slice", 2..=3, &[], slice),
    pure_helper("reverse", 1..=1, &[], |call| Ok(call.list(0)?.iter().rev().cloned().collect())),
    pure_helper("concat", 1..=UNLIMITED, &[], concat),
    pure_helper("flatten", 1..=1, &[], flatten),
];

/// A longer list is a mistake, and could exhaust the memory.
const MAX_LENGTH: i64 = 100_000;

/// The whole numbers up to the last argument, exclusive.
fn loop_(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (from, to) = if call.len() == 1 { (0, call.integer(0)?) } else { (call.integer(0)?, call.integer(1)?) };
    if to.saturating_sub(from) > MAX_LENGTH {
        return Err(format!("from {from} to {to} are more than {MAX_LENGTH} numbers"));
    }
    Ok((from..to).collect())
}

/// The number of members of a list or record, or of characters of a text.
fn len(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    match call.value(0)? {
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(record) => Ok(record.len().into()),
        Value::String(text) => Ok(text.chars().count().into()),
        _ => Err(call.type_error(0, "a list, a record or a text")),
    }
}

/// The first member, or a list of the first members.
fn first(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let list = call.list(0)?;
    if call.len() == 1 {
        return list.first().cloned().ok_or_else(|| "the list is empty".to_owned());
    }
    Ok(list.iter().take(call.count(1)?).cloned().collect())
}

/// The last member, or a list of the last members.
fn last(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let list = call.list(0)?;
    if call.len() == 1 {
        return list.last().cloned().ok_or_else(|| "the list is empty".to_owned());
    }
    Ok(list[list.len().saturating_sub(call.count(1)?)..].to_vec().into())
}

fn slice(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let list = call.list(0)?;
    Ok(list[range(call, list.len())?].to_vec().into())
}

/// The range from the second argument to the third, exclusive, of something of length `len`.
pub(super) fn range(call: &HelperCall<'_, '_>, len: usize) -> Result<std::ops::Range<usize>, String> {
    let to = if call.len() > 2 { call.count(2)?.min(len) } else { len };
    Ok(call.count(1)?.min(to)..to)
}

/// Concatenates lists or texts.
fn concat(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let values = call.values(0)?;
    if values[0].is_array() {
        let lists = (0..values.len()).map(|index| call.list(index));
        return Ok(lists.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().cloned().collect());
    }
    Ok((0..values.len()).map(|index| call.text(index)).collect::<Result<String, _>>()?.into())
}

/// Flattens a list of lists by one level; other members stay as they are.
fn flatten(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let members = |member: &Value| match member {
        Value::Array(members) => members.clone(),
        other => vec![other.clone()],
    };
    Ok(call.list(0)?.iter().flat_map(members).collect())
}

/// The members of the list at `index`, as texts.
pub(super) fn texts(call: &HelperCall<'_, '_>, index: usize) -> Result<Vec<String>, String> {
    let read = |(index, member)| {
        to_text(member).map_err(|_| format!("member {} must be a text, not {}", index + 1, describe(member)))
    };
    call.list(index)?.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values, render_text};

    #[test]
    fn lists_are_made_and_cut() {
        let data = json!({"l": ["a", "b", "c"], "r": {"x": 1}, "none": [], "n": "3"});
        assert_eq!(render_text(&data, "{{#each (list)}}a{{else}}b{{/each}}"), Ok("b".to_owned()));
        assert_values(
            &data,
            &[
                ("(list 1 \"a\" l)", r#"[1,"a",["a","b","c"]]"#),
                ("(loop n)", "[0,1,2]"),
                ("(loop 5 8)", "[5,6,7]"),
                ("(loop 8 5)", "[]"),
                ("(loop -2 0)", "[-2,-1]"),
                ("(len l)", "3"),
                ("(len r)", "1"),
                ("(len \"größe\")", "5"),
                ("(first l)", "\"a\""),
                ("(first l 2)", r#"["a","b"]"#),
                ("(first l 9)", r#"["a","b","c"]"#),
                ("(last l)", "\"c\""),
                ("(last l 2)", r#"["b","c"]"#),
                ("(last l 9)", r#"["a","b","c"]"#),
                ("(slice l 1)", r#"["b","c"]"#),
                ("(slice l 1 2)", r#"["b"]"#),
                ("(slice l 2 1)", "[]"),
                ("(slice l 7 9)", "[]"),
                ("(reverse l)", r#"["c","b","a"]"#),
                ("(concat l none l)", r#"["a","b","c","a","b","c"]"#),
                ("(concat \"a\" 1 true)", "\"a1true\""),
                (r#"(flatten (list l none 1 (list "x" (list 2))))"#, r#"["a","b","c",1,"x",[2]]"#),
                ("(flatten none)", "[]"),
            ],
        );
        assert_errors(
            &data,
            &[
                ("(first none)", "first: the list is empty"),
                ("(last none)", "last: the list is empty"),
                ("(loop 1000000000)", "more than 100000 numbers"),
                ("(loop -9223372036854775808 9223372036854775807)", "more than 100000 numbers"),
                ("(loop 1.5)", "loop: argument 1 must be a whole number, not 1.5"),
                ("(slice l -1)", "slice: argument 2 must be 0 or more, not -1"),
                ("(concat l \"a\")", "concat: argument 2 must be a list, not \"a\""),
                ("(concat \"a\" l)", "concat: argument 2 must be a text, not a list"),
                ("(len 5)", "len: argument 1 must be a list, a record or a text, not 5"),
                ("(flatten \"a\")", "flatten: argument 1 must be a list, not \"a\""),
                ("(reverse nothing)", "reverse: there is no value `nothing` here"),
            ],
        );
    }
}
