//! Parses texts. An empty text gives false, 0 or an empty record; an invalid one is an error.

use serde_json::{Map, Value};

use super::{HelperCall, HelperDefinition, print::excerpt, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("parseBool", 1..=1, &[], |call| parse(call, false, boolean)),
    pure_helper("parseInt", 1..=1, &[], |call| parse(call, 0, |text| Ok(text.parse::<i64>().map_err(message)?.into()))),
    pure_helper("parseUint", 1..=1, &[], |call| {
        parse(call, 0, |text| Ok(text.parse::<u64>().map_err(message)?.into()))
    }),
    pure_helper("parseFloat", 1..=1, &[], |call| parse(call, 0, float)),
    pure_helper("parseJSON", 1..=1, &[], |call| {
        parse(call, Map::new(), |text| serde_json::from_str(text).map_err(message))
    }),
    pure_helper("parseYAML", 1..=1, &[], |call| parse(call, Map::new(), yaml)),
    pure_helper("parseTOML", 1..=1, &[], |call| parse(call, Map::new(), toml)),
];

type ParseFunction = fn(&str) -> Result<Value, String>;

fn parse(call: &HelperCall<'_, '_>, empty: impl Into<Value>, read: ParseFunction) -> Result<Value, String> {
    let text = call.text(0)?;
    match text.trim() {
        "" => Ok(empty.into()),
        trimmed => read(trimmed).map_err(|reason| format!("{}: {reason}", excerpt(&text))),
    }
}

/// The words that consul-template accepts.
fn boolean(text: &str) -> Result<Value, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
        _ => Err("it must be true or false".to_owned()),
    }
}

fn float(text: &str) -> Result<Value, String> {
    json_number(text.parse().map_err(message)?)
}

fn json_number(number: f64) -> Result<Value, String> {
    serde_json::Number::from_f64(number).map(Value::Number).ok_or_else(|| format!("{number} is not a JSON number"))
}

fn yaml(text: &str) -> Result<Value, String> {
    // As in consul-template, a leading zero means octal: 0644.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| message(error.without_snippet()))
}

fn toml(text: &str) -> Result<Value, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    toml_to_json(table.into())
}

/// Converts to JSON, which has neither dates nor infinity.
fn toml_to_json(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => json_number(number)?,
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(members) => members.into_iter().map(toml_to_json).collect::<Result<_, _>>()?,
        toml::Value::Table(table) => {
            let plain = table.into_iter().map(|(key, value)| Ok((key, toml_to_json(value)?)));
            Value::Object(plain.collect::<Result<_, String>>()?)
        }
    })
}

fn message(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn texts_are_parsed() {
        let data = json!({
            "json": "{\"b\": [1, 2.5, null], \"a\": true}\n",
            "yaml": "b: [1, 2.5, ~]\na: yes\nc: &x {d: 0x10}\ne: *x\n",
            "toml": "b = [1, 2.5]\nd = 2026-01-02\n[a]\nx = \"y\"\n",
        });
        assert_values(
            &data,
            &[
                ("(parseBool \"true\")", "true"),
                ("(parseBool \" 0\\n\")", "false"),
                ("(parseInt \"-15\")", "-15"),
                ("(parseUint \"18446744073709551615\")", "18446744073709551615"),
                ("(parseFloat \"1e3\")", "1000.0"),
                ("(parseJSON json)", r#"{"a":true,"b":[1,2.5,null]}"#),
                ("(parseYAML \"a: 010\")", r#"{"a":8}"#),
                ("(parseYAML yaml)", r#"{"a":true,"b":[1,2.5,null],"c":{"d":16},"e":{"d":16}}"#),
                ("(parseTOML toml)", r#"{"a":{"x":"y"},"b":[1,2.5],"d":"2026-01-02"}"#),
            ],
        );
    }

    #[test]
    fn an_empty_text_gives_an_empty_value() {
        let cases = [
            ("Bool", "false"),
            ("Int", "0"),
            ("Uint", "0"),
            ("Float", "0"),
            ("JSON", "{}"),
            ("YAML", "{}"),
            ("TOML", "{}"),
        ];
        for (name, expected) in cases {
            for empty in ["", " \\n"] {
                assert_values(&Value::Null, &[(&format!("(parse{name} \"{empty}\")"), expected)]);
            }
        }
    }

    #[test]
    fn invalid_text_is_an_error() {
        let deep = "[".repeat(5000);
        let bomb = format!(
            "a: &a [x,x]\n{}",
            ('b'..='z')
                .map(|c| {
                    let before = char::from(c as u8 - 1);
                    format!("{c}: &{c} [*{before},*{before},*{before},*{before}]\n")
                })
                .collect::<String>()
        );
        assert_errors(
            &json!({"deep": deep, "bomb": bomb, "dots": format!("a{} = 1", ".a".repeat(100_000)), "heads": format!("[a{}]", ".a".repeat(100_000))}),
            &[
                ("(parseBool \"yes\")", "parseBool: \"yes\": it must be true or false"),
                ("(parseInt \"x\")", "parseInt: \"x\": invalid digit"),
                ("(parseInt \"1.5\")", "parseInt: \"1.5\": invalid digit"),
                ("(parseInt \"9223372036854775808\")", "too large"),
                ("(parseUint \"-1\")", "parseUint: \"-1\": invalid digit"),
                ("(parseFloat \"1,5\")", "parseFloat: \"1,5\": invalid float"),
                ("(parseFloat \"nan\")", "NaN is not a JSON number"),
                ("(parseJSON \"{a}\")", "parseJSON: \"{a}\": key must be a string at line 1 column 2"),
                ("(parseJSON deep)", "recursion limit"),
                ("(parseYAML \"a: [\")", "parseYAML: \"a: [\": "),
                ("(parseYAML \"a: 1\\na: 2\")", "duplicate"),
                ("(parseYAML \"a: .nan\")", "parseYAML"),
                ("(parseYAML deep)", "parseYAML"),
                ("(parseYAML bomb)", "parseYAML"),
                ("(parseTOML \"a = 1\\nb =\")", "parseTOML: \"a = 1\\nb =\": line 2: "),
                ("(parseTOML deep)", "parseTOML"),
                ("(parseTOML dots)", "parseTOML"),
                ("(parseTOML heads)", "parseTOML"),
                ("(parseTOML \"a = nan\")", "NaN is not a JSON number"),
                ("(parseJSON [])", "parseJSON: argument 1 must be a text, not a list"),
            ],
        );
    }
}
