//! `ls` and `tree`: the keys of a folder. Both share one watch.

use serde_json::Value;

use super::{argument, grammar::ParsedArgument, json, key, list, require_min};
use crate::{
    registry::{Answer, KeyPair, Query},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

/// The keys directly in the folder.
pub(super) fn ls(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    folder_keys(call, recorder, |key| !key.is_empty() && !key.contains('/'))
}

/// All keys below the folder, without those that end with `/` and only mark a folder.
pub(super) fn tree(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    folder_keys(call, recorder, |key| !key.is_empty() && !key.ends_with('/'))
}

fn folder_keys(
    call: &HelperCall<'_, '_>,
    recorder: &QueryRecorder<'_>,
    belongs: fn(&str) -> bool,
) -> Result<Value, String> {
    let ParsedArgument { subject, scope, .. } = key::key_argument(call, recorder)?;
    // As in consul-template, an empty path makes no query; `/` is the folder of all keys.
    if subject.is_empty() {
        return list(None::<Value>);
    }
    let query = Query::Keys { prefix: folder_prefix(&subject), scope: argument::scope(call, scope)? };
    let Some(pairs) = ask!(recorder, query, Answer::Keys)? else { return list(None::<Value>) };
    let selected: Vec<&KeyPair> = pairs.iter().filter(|pair| belongs(&pair.key)).collect();
    require_min(call, recorder, &query, selected.len())?;
    json(selected)
}

/// The prefix of all keys in the folder. It ends with a slash, so that `app` does not match `apple`.
fn folder_prefix(folder: &str) -> String {
    let name = folder.strip_prefix('/').unwrap_or(folder).trim_end_matches('/');
    if name.is_empty() { String::new() } else { format!("{name}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_folder_have_the_same_prefix() {
        for folder in ["app", "/app", "app/", "/app//"] {
            assert_eq!(folder_prefix(folder), "app/");
        }
        assert_eq!((folder_prefix("/"), folder_prefix("a/b")), (String::new(), "a/b/".to_owned()));
    }
}
