//! `ls` and `tree`: the keys of a folder. Both share one watch.

use serde_json::Value;

use super::{argument, grammar::ParsedArgument, json, key, list, require_min};
use crate::{
    registry::{Answer, KeyPair, Query},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

/// The keys that lie in the folder itself.
pub(super) fn ls(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    folder_keys(call, pass, |key| !key.is_empty() && !key.contains('/'))
}

/// All keys below the folder, but not the marks that stand for folders.
pub(super) fn tree(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    folder_keys(call, pass, |key| !key.is_empty() && !key.ends_with('/'))
}

fn folder_keys(
    call: &HelperCall<'_, '_>,
    pass: &QueryRecorder<'_>,
    belongs: fn(&str) -> bool,
) -> Result<Value, String> {
    let ParsedArgument { subject, scope, .. } = key::key_argument(call, pass)?;
    // As in consul-template: no path, no question. All keys are below `/`.
    if subject.is_empty() {
        return list(None::<Value>);
    }
    let query = Query::Keys { prefix: folder_prefix(&subject), scope: argument::scope(call, scope)? };
    let Some(pairs) = ask!(pass, query, Answer::Keys)? else { return list(None::<Value>) };
    let kept: Vec<&KeyPair> = pairs.iter().filter(|pair| belongs(&pair.key)).collect();
    require_min(call, pass, &query, kept.len())?;
    json(kept)
}

/// A folder is all that begins with its name and a slash: `app` is none of `apple`.
fn folder_prefix(folder: &str) -> String {
    let name = folder.strip_prefix('/').unwrap_or(folder).trim_end_matches('/');
    if name.is_empty() { String::new() } else { format!("{name}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_name() {
        for folder in ["app", "/app", "app/", "/app//"] {
            assert_eq!(folder_prefix(folder), "app/");
        }
        assert_eq!((folder_prefix("/"), folder_prefix("a/b")), (String::new(), "a/b/".to_owned()));
    }
}
