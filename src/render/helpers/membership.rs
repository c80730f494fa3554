//! Whether something is in a list.

use serde_json::Value;

use super::{Call, Definition, MANY, pure, select::same};

pub(super) const ALL: &[Definition] = &[
    pure("contains", 2..=2, &[], contains),
    pure("in", 2..=2, &[], contains),
    pure("containsAll", 2..=MANY, &[], |call| Ok((!found(call)?.contains(&false)).into())),
    pure("containsAny", 2..=MANY, &[], |call| Ok(found(call)?.contains(&true).into())),
    pure("containsNone", 2..=MANY, &[], |call| Ok((!found(call)?.contains(&true)).into())),
    pure("containsNotAll", 2..=MANY, &[], |call| Ok(found(call)?.contains(&false).into())),
];

/// Whether a list holds a value, or a text a part.
fn contains(call: &Call<'_, '_>) -> Result<Value, String> {
    match call.value(0)? {
        Value::String(text) => Ok(text.contains(&call.text(1)?).into()),
        Value::Array(list) => Ok(holds(list, call.value(1)?).into()),
        _ => Err(call.not(0, "a list or a text")),
    }
}

/// For each wanted value, given one by one or as one list, whether it is there.
fn found(call: &Call<'_, '_>) -> Result<Vec<bool>, String> {
    let list = call.list(0)?;
    Ok(call.members(1)?.into_iter().map(|wanted| holds(list, wanted)).collect())
}

fn holds(list: &[Value], wanted: &Value) -> bool {
    list.iter().any(|member| same(member, wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::fixture::{fails, gives};

    #[test]
    fn lists_are_searched() {
        let data = json!({"tags": ["blue", "v1"], "wanted": ["v1", "green"]});
        gives(
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
        fails(
            &data,
            &[
                (r#"(in "v1" tags)"#, "in: argument 2 must be a text, not a list"),
                ("(contains 1 1)", "contains: argument 1 must be a list or a text, not 1"),
                (r#"(containsAny "v1" tags)"#, "containsAny: argument 1 must be a list, not \"v1\""),
            ],
        );
    }
}
