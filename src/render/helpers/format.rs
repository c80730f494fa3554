//! Converts values to JSON, YAML or TOML. Keys are sorted, so equal values give equal texts.
//!
//! The result is a complete value of its language. It is printed unescaped if the file has that language, or an unknown
//! one.

use serde_json::Value;

use super::{HelperCall, HelperDefinition, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("toJSON", 1..=1, &[], json),
    pure_helper("toUnescapedJSON", 1..=1, &[], json),
    pure_helper("toJSONPretty", 1..=1, &[], json_pretty),
    pure_helper("toUnescapedJSONPretty", 1..=1, &[], json_pretty),
    pure_helper("toYAML", 1..=1, &[], yaml),
    pure_helper("toTOML", 1..=1, &[], toml),
];

fn json(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    Ok(call.value(0)?.to_string().into())
}

fn json_pretty(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    Ok(format!("{:#}", call.value(0)?).into())
}

fn yaml(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    // The meaning of a block scalar depends on the indentation around it; that of a quoted text does not.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(call.value(0)?, options).map_err(|error| error.to_string())?;
    Ok(text.trim_end_matches('\n').into())
}

fn toml(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let record = call.record(0)?;
    if let Some((path, value)) = record.iter().find_map(|(key, value)| find_unwritable(key, value)) {
        return Err(format!("`{path}` is {value}, which TOML cannot represent"));
    }
    let text = toml::to_string(record).map_err(|error| error.to_string())?;
    Ok(text.trim_end_matches('\n').into())
}

/// The path and value of the first value that TOML cannot represent: null, or an integer beyond 64 signed bits.
fn find_unwritable<'a>(path: &str, value: &'a Value) -> Option<(String, &'a Value)> {
    match value {
        Value::Null => Some((path.to_owned(), value)),
        Value::Number(number) => (number.is_u64() && !number.is_i64()).then(|| (path.to_owned(), value)),
        Value::Array(list) => {
            list.iter().enumerate().find_map(|(index, value)| find_unwritable(&format!("{path}.{index}"), value))
        }
        Value::Object(record) => {
            record.iter().find_map(|(key, value)| find_unwritable(&format!("{path}.{key}"), value))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use crate::render::helpers::test_support::{assert_errors, render_text};

    #[test]
    fn values_are_converted_with_sorted_keys() {
        let data = json!({"z": [1, "a: b"], "a": {"y": true, "x": "<&>"}, "m": "1", "t": "l1\nl2\n"});
        let cases = [
            ("toJSON", r#"{"a":{"x":"<&>","y":true},"m":"1","t":"l1\nl2\n","z":[1,"a: b"]}"#),
            ("toUnescapedJSON", r#"{"a":{"x":"<&>","y":true},"m":"1","t":"l1\nl2\n","z":[1,"a: b"]}"#),
            (
                "toJSONPretty",
                "{\n  \"a\": {\n    \"x\": \"<&>\",\n    \"y\": true\n  },\n  \"m\": \"1\",\n  \"t\": \"l1\\nl2\\n\",\n  \"z\": [\n    1,\n    \"a: b\"\n  ]\n}",
            ),
            ("toYAML", "a:\n  x: <&>\n  \"y\": true\nm: \"1\"\nt: \"l1\\nl2\\n\"\nz:\n- 1\n- \"a: b\""),
            ("toTOML", "m = \"1\"\nt = \"\"\"\nl1\nl2\n\"\"\"\nz = [1, \"a: b\"]\n\n[a]\nx = \"<&>\"\ny = true"),
        ];
        for (name, expected) in cases {
            assert_eq!(render_text(&data, &format!("{{{{{name} this}}}}")), Ok(expected.to_owned()), "{name}");
        }
        assert_eq!(
            render_text(&data, "{{toJSON \"a\"}} {{toYAML []}} {{toYAML null}}"),
            Ok("\"a\" [] null".to_owned())
        );
    }

    #[test]
    fn value_that_toml_cannot_represent_is_an_error() {
        assert_errors(
            &json!({"a": {"b": [1, null]}, "big": {"n": u64::MAX}}),
            &[
                ("(toTOML a)", "toTOML: `b.1` is null"),
                ("(toTOML [])", "toTOML: argument 1 must be a record, not a list"),
                ("(toTOML big)", "toTOML: `n` is 18446744073709551615, which TOML"),
            ],
        );
    }

    fn value(nulls: bool) -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~\n\t]{0,8}",
            "(?s).{0,4}",
            Just("yes".to_owned()),
            Just("1e3".to_owned()),
            Just("~".to_owned())
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::String),
            any::<i64>().prop_map(Value::from),
            (-1_000_000..1_000_000).prop_map(|eighths: i32| json!(f64::from(eighths) / 8.0)),
            any::<bool>().prop_map(Value::from),
            Just(if nulls { Value::Null } else { json!(0) }),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[ -~]{0,4}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn round_trip(value: &Value, language: &str) -> Result<Value, String> {
        let text = render_text(value, &format!("{{{{toJSON (parse{language} (to{language} this))}}}}"))?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn conversion_round_trips(value in value(true), table in proptest::collection::btree_map("[ -~]{0,4}", value(false), 0..4)) {
            prop_assert_eq!(round_trip(&value, "JSON"), Ok(value.clone()));
            prop_assert_eq!(round_trip(&value, "YAML"), Ok(value));
            let table = Value::Object(table.into_iter().collect::<Map<_, _>>());
            prop_assert_eq!(round_trip(&table, "TOML"), Ok(table));
        }
    }
}
