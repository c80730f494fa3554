//! Whether a value is in a list.

use serde_json::Value;

use super::{HelperCall, HelperDefinition, UNLIMITED, pure_helper, select::is_equal};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("contains", 2..=2, &[], contains),
    pure_helper("in", 2..=2, &[], contains),
    pure_helper("containsAll", 2..=UNLIMITED, &[], |call| Ok((!are_contained(call)?.contains(&false)).into())),
    pure_helper("containsAny", 2..=UNLIMITED, &[], |call| Ok(are_contained(call)?.contains(&true).into())),
    pure_helper("containsNone", 2..=UNLIMITED, &[], |call| Ok((!are_contained(call)?.contains(&true)).into())),
    pure_helper("containsNotAll", 2..=UNLIMITED, &[], |call| Ok(are_contained(call)?.contains(&false).into())),
];

/// Whether a list contains a value, or a text contains another.
fn contains(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    match call.value(0)? {
        Value::String(text) => Ok(text.contains(&call.text(1)?).into()),
        Value::Array(list) => Ok(contains_value(list, call.value(1)?).into()),
        _ => Err(call.type_error(0, "a list or a text")),
    }
}

/// For each wanted value, given as arguments or as one list, whether the list contains it.
fn are_contained(call: &HelperCall<'_, '_>) -> Result<Vec<bool>, String> {
    let list = call.list(0)?;
    Ok(call.spread_values(1)?.into_iter().map(|wanted| contains_value(list, wanted)).collect())
}

fn contains_value(list: &[Value], wanted: &Value) -> bool {
    list.iter().any(|member| is_equal(member, wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn lists_are_searched() {
        let data = json!({"tags": ["blue", "v1"], "wanted": ["v1", "green"]});
        assert_values(
            &data,
            &[
                (r#"(contains tags "v1")"#, "true"),
                (r#"(contains tags "v")"#, "false"),
                (r#"(contains [80, 443] "80")"#, "true"),
                (r#"(contains "blue-green" "green")"#, "true"),
                (r#"(in tags "green")"#, "false"),
                ("(containsAll tags wanted)", "false"),
                (r#"(containsAll tags "v1" "blue")"#, "true"),
                ("(containsAll tags [])", "true"),
                ("(containsAny tags wanted)", "true"),
                ("(containsAny tags [])", "false"),
                ("(containsNone tags wanted)", "false"),
                (r#"(containsNone tags "green")"#, "true"),
                ("(containsNotAll tags wanted)", "true"),
                (r#"(containsNotAll tags ["v1"])"#, "false"),
            ],
        );
        assert_errors(
            &data,
            &[
                (r#"(in "v1" tags)"#, "in: argument 2 must be a text, not a list"),
                ("(contains 1 1)", "contains: argument 1 must be a list or a text, not 1"),
                (r#"(containsAny "v1" tags)"#, "containsAny: argument 1 must be a list, not \"v1\""),
            ],
        );
    }
}
