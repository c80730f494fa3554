//! Nested records: `explode` builds one from paths, `merge` merges several.

use serde_json::{Map, Value};

use super::{HelperCall, HelperDefinition, UNLIMITED, print::excerpt, pure_helper};

pub(super) const ALL: &[HelperDefinition] =
    &[pure_helper("explode", 1..=1, &[], explode), pure_helper("merge", 1..=UNLIMITED, &[&["override"]], merge)];

/// A deeper tree is a mistake, and could overflow the stack.
const MAX_DEPTH: usize = 100;

/// Accepts pairs of `key` and `value`, or a record of paths. A path that ends with a slash is a folder, which may be
/// empty.
fn explode(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let mut tree = Map::new();
    match call.value(0)? {
        Value::Object(record) => {
            for (path, value) in record {
                insert(&mut tree, path, value)?;
            }
        }
        Value::Array(pairs) => {
            for (index, pair) in pairs.iter().enumerate() {
                let (Some(Value::String(path)), Some(value)) = (pair.get("key"), pair.get("value")) else {
                    return Err(format!("member {} must have a `key` and a `value`", index + 1));
                };
                insert(&mut tree, path, value)?;
            }
        }
        _ => return Err(call.type_error(0, "a list of pairs or a record")),
    }
    Ok(Value::Object(tree))
}

fn insert(tree: &mut Map<String, Value>, path: &str, value: &Value) -> Result<(), String> {
    let (directories, key) = path.rsplit_once('/').map_or((None, path), |(before, key)| (Some(before), key));
    if path.matches('/').count() > MAX_DEPTH {
        return Err(format!("the path {} has more than {MAX_DEPTH} directories", excerpt(path)));
    }
    let mut directory = tree;
    for (depth, name) in directories.iter().flat_map(|path| path.split('/')).enumerate() {
        let below = directory.entry(name).or_insert_with(|| Value::Object(Map::new()));
        directory = below.as_object_mut().ok_or_else(|| {
            let at: Vec<_> = path.split('/').take(depth + 1).collect();
            conflict_message(&at.join("/"))
        })?;
    }
    if key.is_empty() {
        return Ok(());
    }
    // A value that is itself a record could not be distinguished from a folder.
    if value.is_object() {
        return Err(format!("the value of {path:?} is a record: it is exploded already"));
    }
    match directory.get(key) {
        Some(Value::Object(_)) => Err(conflict_message(path)),
        _ => {
            directory.insert(key.to_owned(), value.clone());
            Ok(())
        }
    }
}

fn conflict_message(path: &str) -> String {
    format!("{path:?} is both a key with a value and a directory")
}

/// Merges records recursively. The first value of a key is kept, or with `override=true` the last.
fn merge(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let overrides = call.flag("override")?;
    let mut merged = Map::new();
    for index in 0..call.len() {
        merge_into(&mut merged, call.record(index)?, overrides);
    }
    Ok(Value::Object(merged))
}

fn merge_into(into: &mut Map<String, Value>, from: &Map<String, Value>, overrides: bool) {
    for (key, new) in from {
        match (into.get_mut(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_into(old, new, overrides),
            (Some(_), _) if !overrides => {}
            _ => {
                into.insert(key.clone(), new.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{insert, merge_into};
    use crate::render::helpers::test_support::{assert_errors, assert_values, render_text};

    #[test]
    fn paths_become_a_tree() {
        let data = json!({
            "app": [
                {"key": "db/host", "value": "h"}, {"key": "db/port", "value": "5432"},
                {"key": "folder/", "value": ""}, {"key": "max", "value": "15"}, {"key": "max", "value": "16"},
            ],
            "down": [{"key": "a", "value": "1"}, {"key": "a/b", "value": "2"}],
            "up": [{"key": "x/a/b", "value": "2"}, {"key": "x/a", "value": "1"}],
            "long": {"a/".repeat(101): 1},
            "deep": {"x/a": 1, "x/a/b/c": 2},
        });
        assert_eq!(render_text(&data, "{{#with (explode app)}}{{db.port}}{{/with}}"), Ok("5432".to_owned()));
        assert_values(
            &data,
            &[
                ("(explode app)", r#"{"db":{"host":"h","port":"5432"},"folder":{},"max":"16"}"#),
                (r#"(explode (dict "a/b" 1 "a/c" (list 2) "d" 3))"#, r#"{"a":{"b":1,"c":[2]},"d":3}"#),
                ("(explode [])", "{}"),
            ],
        );
        assert_errors(
            &data,
            &[
                ("(explode down)", "explode: \"a\" is both a key with a value and a directory"),
                ("(explode up)", "explode: \"x/a\" is both a key with a value and a directory"),
                ("(explode deep)", "explode: \"x/a\" is both a key with a value and a directory"),
                ("(explode long)", "has more than 100 directories"),
                ("(explode [1])", "explode: member 1 must have a `key` and a `value`"),
                ("(explode (dict a=(dict b=1)))", "explode: the value of \"a\" is a record"),
                ("(explode 1)", "explode: argument 1 must be a list of pairs or a record, not 1"),
            ],
        );
    }

    #[test]
    fn records_are_merged() {
        let data = json!({"a": {"x": {"p": 1}, "y": 1}, "b": {"x": {"p": 2, "q": 2}, "y": {"z": 2}, "w": 2}});
        assert_values(
            &data,
            &[
                ("(merge a)", r#"{"x":{"p":1},"y":1}"#),
                ("(merge a b)", r#"{"w":2,"x":{"p":1,"q":2},"y":1}"#),
                ("(merge a b override=true)", r#"{"w":2,"x":{"p":2,"q":2},"y":{"z":2}}"#),
                ("(merge b a override=true)", r#"{"w":2,"x":{"p":1,"q":2},"y":1}"#),
            ],
        );
        assert_errors(&data, &[("(merge a 1)", "merge: argument 2 must be a record, not 1")]);
    }

    fn tree() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = "[a-c]?".prop_map(Value::String);
        let value = leaf.prop_recursive(3, 12, 3, |inner| {
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| map.into_iter().collect())
        });
        proptest::collection::btree_map("[a-c]", value, 0..3).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_paths_become_a_tree_or_an_error_that_names_one(
            paths in proptest::collection::vec("[ab/]{0,6}", 0..6),
        ) {
            let mut tree = Map::new();
            for path in &paths {
                if let Err(error) = insert(&mut tree, path, &json!(1)) {
                    prop_assert!(error.contains("both a key with a value and a directory"), "{error}");
                    return Ok(());
                }
            }
            for path in paths.iter().filter(|path| !path.is_empty() && !path.ends_with('/')) {
                let whole = Value::Object(tree.clone());
                prop_assert_eq!(path.split('/').fold(&whole, |value, name| &value[name]), &json!(1));
            }
        }

        #[test]
        fn merging_again_changes_nothing(a in tree(), b in tree(), overrides in any::<bool>()) {
            let mut once = a;
            merge_into(&mut once, &b, overrides);
            let mut twice = once.clone();
            merge_into(&mut twice, &b, overrides);
            prop_assert_eq!(&once, &twice);
            for key in b.keys() {
                prop_assert!(once.contains_key(key));
            }
        }
    }
}
