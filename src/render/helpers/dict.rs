//! Creates, copies and reads records.

use serde_json::{Map, Value};

use super::{ANY_OPTION, HelperCall, HelperDefinition, UNLIMITED, call::describe, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("dict", 0..=UNLIMITED, ANY_OPTION, dict),
    pure_helper("set", 1..=UNLIMITED, ANY_OPTION, set),
    pure_helper("hasKey", 2..=2, &[], |call| Ok(call.record(0)?.contains_key(&call.text(1)?).into())),
    pure_helper("dig", 2..=UNLIMITED, &[&["default"]], dig),
    pure_helper("keys", 1..=1, &[], |call| Ok(call.record(0)?.keys().cloned().collect())),
    pure_helper("values", 1..=1, &[], |call| Ok(call.record(0)?.values().cloned().collect())),
];

fn dict(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    insert_pairs(Map::new(), call, 0)
}

/// A copy of the record with some keys added or replaced.
fn set(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    insert_pairs(call.record(0)?.clone(), call, 1)
}

/// Adds the options, and the arguments from `from` on: key, value, key, value.
fn insert_pairs(mut record: Map<String, Value>, call: &HelperCall<'_, '_>, from: usize) -> Result<Value, String> {
    for index in (from..call.len()).step_by(2) {
        if index + 1 == call.len() {
            return Err(format!("the key {:?} has no value after it", call.text(index)?));
        }
        record.insert(call.text(index)?, call.value(index + 1)?.clone());
    }
    record.extend(call.options()?);
    Ok(Value::Object(record))
}

/// Follows a path of keys and list indexes into nested records and lists.
fn dig(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let mut value = call.value(0)?;
    for index in 1..call.len() {
        let next = match value {
            Value::Object(record) => record.get(&call.text(index)?),
            Value::Array(list) => list.get(call.count(index)?),
            _ => None,
        };
        value = match (next, call.option_value("default")?) {
            (Some(next), _) => next,
            (None, Some(default)) => return Ok(default.clone()),
            (None, None) => {
                let key = describe(call.value(index)?);
                return Err(format!("there is no {key}: default= gives a value for that case"));
            }
        };
    }
    Ok(value.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn records_are_created_and_read() {
        let data = json!({"r": {"b": {"c-d": [10, 20]}, "a": "1"}});
        assert_values(
            &data,
            &[
                (r#"(dict b=1 a="x")"#, r#"{"a":"x","b":1}"#),
                (r#"(dict "z/y" 1 a=2)"#, r#"{"a":2,"z/y":1}"#),
                (r#"(set r "a" 2 e=3)"#, r#"{"a":2,"b":{"c-d":[10,20]},"e":3}"#),
                (r#"(hasKey r "a")"#, "true"),
                (r#"(hasKey r "x")"#, "false"),
                (r#"(dig r "b" "c-d" 1)"#, "20"),
                (r#"(dig r "b" "x" "y" default="none")"#, "\"none\""),
                (r#"(dig r "a" "x" default=0)"#, "0"),
                ("(keys r)", r#"["a","b"]"#),
                ("(values r)", r#"["1",{"c-d":[10,20]}]"#),
            ],
        );
        assert_errors(
            &data,
            &[
                (r#"(dict "a")"#, "dict: the key \"a\" has no value after it"),
                (r#"(dig r "b" "x")"#, "dig: there is no \"x\": default= gives"),
                (r#"(dig r "b" "c-d" 2)"#, "dig: there is no 2"),
                (r#"(dig r "b" "c-d" "x")"#, "dig: argument 4 must be a number, not \"x\""),
                ("(keys 1)", "keys: argument 1 must be a record, not 1"),
                (r#"(set r "a" nothing)"#, "set: there is no value `nothing` here"),
            ],
        );
    }
}
