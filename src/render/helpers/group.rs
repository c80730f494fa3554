//! Groups a list into a list of `{key, members}`, sorted by key; members keep their order.
//!
//! The result is not a record, because a record would sort ports as texts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    HelperCall, HelperDefinition,
    call::{describe, to_text},
    pure_helper,
};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("byTag", 1..=1, &[], by_tag),
    pure_helper("byPort", 1..=1, &[], by_port),
    pure_helper("byMeta", 2..=2, &[], by_meta),
    pure_helper("byKey", 1..=1, &[], by_key),
];

/// The groups as a list, in the order of the keys.
type Groups<K> = BTreeMap<K, Vec<Value>>;

fn groups_to_list<K: Into<Value>>(groups: Groups<K>) -> Value {
    groups.into_iter().map(|(key, members)| json!({"key": key.into(), "members": members})).collect()
}

/// Groups instances or services by tag; one with several tags is in several groups.
fn by_tag(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let mut groups = Groups::new();
    for (member, tags) in members_with_field(call, "tags")? {
        let tags = tags.as_array().ok_or("the field `tags` must be a list")?;
        let tags =
            tags.iter().map(to_text).collect::<Result<Vec<_>, _>>().map_err(|given| format!("{given} is not a tag"))?;
        for (index, tag) in tags.iter().enumerate() {
            if !tags[..index].contains(tag) {
                groups.entry(tag.clone()).or_default().push(member.clone());
            }
        }
    }
    Ok(groups_to_list(groups))
}

fn by_port(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let mut groups = Groups::new();
    for (member, port) in members_with_field(call, "port")? {
        let port = port.as_u64().ok_or_else(|| format!("{} is not a port", describe(port)))?;
        groups.entry(port).or_default().push(member.clone());
    }
    Ok(groups_to_list(groups))
}

/// As in consul-template: `a,b|int` gives keys such as `blue_00010`.
fn by_meta(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let names = call.text(1)?;
    let mut groups = Groups::new();
    for (member, meta) in members_with_field(call, "meta")? {
        let parts = names.split(',').map(|name| key_part(meta, name)).collect::<Result<Vec<_>, _>>()?;
        groups.entry(parts.join("_")).or_default().push(member.clone());
    }
    Ok(groups_to_list(groups))
}

/// One part of a key: the value of `name`, or of `name|int` as a number with leading zeros.
fn key_part(meta: &Value, name: &str) -> Result<String, String> {
    let (name, is_number) = name.strip_suffix("|int").map_or((name, false), |name| (name, true));
    let value = meta.get(name).map(to_text).transpose().map_err(|given| format!("`{name}` is {given}"))?;
    let value = value.filter(|value| !value.is_empty());
    let part = match (value, is_number) {
        (None, true) => format!("{:05}", 0),
        (None, false) => format!("_no_{name}_"),
        (Some(value), false) => value,
        (Some(value), true) => {
            let number: i64 = value.parse().map_err(|_| format!("`{name}` is not a whole number: {value:?}"))?;
            format!("{number:05}")
        }
    };
    Ok(part.chars().map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' }).collect())
}

/// Groups pairs by the first part of their keys, which is removed from the keys of the members. A key with one part is
/// left out.
fn by_key(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let mut groups = Groups::new();
    for (member, key) in members_with_field(call, "key")? {
        let key = key.as_str().ok_or("the field `key` must be a text")?;
        if let Some((top, rest)) = key.split_once('/').filter(|(_, rest)| !rest.is_empty()) {
            let mut member = member.clone();
            member["key"] = rest.into();
            groups.entry(top.to_owned()).or_default().push(member);
        }
    }
    Ok(groups_to_list(groups))
}

/// The members of the first argument, each with the value of a required field.
fn members_with_field<'a>(call: &'a HelperCall<'_, '_>, name: &str) -> Result<Vec<(&'a Value, &'a Value)>, String> {
    let missing = |index| format!("member {} has no field `{name}`", index + 1);
    let members = call.list(0)?.iter().enumerate();
    members.map(|(index, member)| Ok((member, member.get(name).ok_or_else(|| missing(index))?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::render::helpers::test_support::{assert_errors, render_text};

    fn data() -> Value {
        json!({
            "web": [
                {"id": "web-1b", "port": 8081, "tags": ["blue", "blue"], "meta": {"shard": "12", "zone": "a.b"}},
                {"id": "web-2", "port": 443, "tags": ["blue", "v1"], "meta": {"zone": "", "shard": "7"}},
                {"id": "web-3", "port": 80, "tags": [], "meta": {}},
            ],
            "pairs": [
                {"key": "b/c", "value": "1"}, {"key": "a/x", "value": "2"}, {"key": "b/a/d", "value": "3"},
                {"key": "top", "value": "4"}, {"key": "e/", "value": ""},
            ],
        })
    }

    #[test]
    fn groups_are_sorted_and_members_keep_their_order() {
        let ids = |call: &str| {
            format!("{{{{#each {call}}}}}{{{{key}}}}: {{{{join (pluck members \"id\") \",\"}}}}\n{{{{/each}}}}")
        };
        let cases = [
            ("(byTag web)", "blue: web-1b,web-2\nv1: web-2\n"),
            ("(byPort web)", "80: web-3\n443: web-2\n8081: web-1b\n"),
            ("(byMeta web \"zone\")", "_no_zone_: web-2,web-3\na_b: web-1b\n"),
            ("(byMeta web \"shard|int\")", "00000: web-3\n00007: web-2\n00012: web-1b\n"),
            ("(byMeta web \"zone,shard|int\")", "_no_zone__00000: web-3\n_no_zone__00007: web-2\na_b_00012: web-1b\n"),
        ];
        for (call, expected) in cases {
            assert_eq!(render_text(&data(), &ids(call)), Ok(expected.to_owned()), "{call}");
        }
        let keys = "{{#each (byKey pairs)}}{{key}}:{{#each members}} {{key}}={{value}}{{/each}}\n{{/each}}";
        assert_eq!(render_text(&data(), keys), Ok("a: x=2\nb: c=1 a/d=3\n".to_owned()));
    }

    #[test]
    fn value_that_cannot_be_grouped_is_an_error() {
        assert_errors(
            &data(),
            &[
                ("(byMeta web \"zone|int\")", "byMeta: `zone` is not a whole number: \"a.b\""),
                ("(byTag pairs)", "byTag: member 1 has no field `tags`"),
                ("(byPort 1)", "byPort: argument 1 must be a list, not 1"),
            ],
        );
    }
}
