//! Splits texts into lists, and joins lists into texts.

use serde_json::{Map, Value};

use super::{HelperCall, HelperDefinition, list::texts, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("join", 2..=2, &[], |call| Ok(texts(call, 0)?.join(&call.text(1)?).into())),
    pure_helper("split", 2..=2, &[], |call| Ok(split(&call.text(0)?, &call.text(1)?).into())),
    pure_helper("splitToMap", 3..=3, &[], split_to_map),
];

/// Surrounding white space is removed first; an empty text gives an empty list.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let text = text.trim();
    if text.is_empty() {
        Vec::new()
    } else if separator.is_empty() {
        text.split("").filter(|character| !character.is_empty()).collect()
    } else {
        text.split(separator).collect()
    }
}

/// `a:1,b:2` with `,` and `:` gives a record with the keys `a` and `b`.
fn split_to_map(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (text, between, within) = (call.text(0)?, call.text(1)?, call.text(2)?);
    if within.is_empty() {
        return Err(call.type_error(2, "the text between a key and its value"));
    }
    let mut record = Map::new();
    for pair in split(&text, &between) {
        let (key, value) = pair.split_once(&within).ok_or_else(|| format!("there is no {within:?} in {pair:?}"))?;
        record.insert(key.to_owned(), value.into());
    }
    Ok(Value::Object(record))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::split;
    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn texts_are_split_and_lists_joined() {
        let data = json!({"tags": ["blue", "v1"], "mixed": [1, true, null, "a"], "nested": ["a", ["b"]]});
        assert_values(
            &data,
            &[
                (r#"(join tags ", ")"#, "\"blue, v1\""),
                (r#"(join mixed "/")"#, "\"1/true//a\""),
                (r#"(join [] ",")"#, "\"\""),
                (r#"(split "a,b,,c" ",")"#, r#"["a","b","","c"]"#),
                (r#"(split " a, b\n" ",")"#, r#"["a"," b"]"#),
                (r#"(split " \n" ",")"#, "[]"),
                (r#"(split "öb" "")"#, r#"["ö","b"]"#),
                (r#"(splitToMap "a:1,b:2:3" "," ":")"#, r#"{"a":"1","b":"2:3"}"#),
                (r#"(splitToMap "" "," ":")"#, "{}"),
            ],
        );
        assert_errors(
            &data,
            &[
                (r#"(join nested ",")"#, "join: member 2 must be a text, not a list"),
                (r#"(join "a" ",")"#, "join: argument 1 must be a list, not \"a\""),
                (r#"(splitToMap "a:1,b" "," ":")"#, "splitToMap: there is no \":\" in \"b\""),
                (r#"(splitToMap "a" "," "")"#, "splitToMap: argument 3 must be the text between"),
            ],
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn join_then_split_round_trips(words in proptest::collection::vec("[a-z]{1,3}", 0..5), separator in "[,:]{1,2}") {
            let joined = words.join(&separator);
            prop_assert_eq!(split(&joined, &separator), words);
        }

        #[test]
        fn split_then_join_round_trips(text in "[ a,]{0,8}", separator in ",{0,2}") {
            prop_assert_eq!(split(&text, &separator).join(&separator), text.trim());
        }
    }
}
