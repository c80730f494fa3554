//! `ls` and `tree`: the keys of a folder. Both share one watch.

use serde_json::Value;

use super::{grammar::Spelled, hold_below_min, json, key, place, unfit};
use crate::{
    registry::{Answer, KeyPair, Query},
    render::{helpers::Call, recorder::Recorder},
};

/// The keys that lie in the folder itself.
pub(super) fn ls(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    keys(call, pass, |key| !key.is_empty() && !key.contains('/'))
}

/// All keys below the folder, but not the marks that stand for folders.
pub(super) fn tree(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    keys(call, pass, |key| !key.is_empty() && !key.ends_with('/'))
}

fn keys(call: &Call<'_, '_>, pass: &Recorder<'_>, belongs: fn(&str) -> bool) -> Result<Value, String> {
    let Spelled { subject, scope, .. } = key::path(call, pass)?;
    // As in consul-template: no path, no question. All keys are below `/`.
    if subject.is_empty() {
        return json([(); 0]);
    }
    let query = Query::Keys { prefix: prefix(&subject), scope: place::scope(call, scope)? };
    match pass.ask(query.clone()) {
        None => json([(); 0]),
        Some(Answer::Keys(pairs)) => {
            let kept: Vec<&KeyPair> = pairs.iter().filter(|pair| belongs(&pair.key)).collect();
            hold_below_min(call, pass, &query, kept.len())?;
            json(kept)
        }
        Some(_) => Err(unfit(&query)),
    }
}

/// A folder is all that begins with its name and a slash: `app` is none of `apple`.
fn prefix(folder: &str) -> String {
    let name = folder.strip_prefix('/').unwrap_or(folder).trim_end_matches('/');
    if name.is_empty() { String::new() } else { format!("{name}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_name() {
        for folder in ["app", "/app", "app/", "/app//"] {
            assert_eq!(prefix(folder), "app/");
        }
        assert_eq!((prefix("/"), prefix("a/b")), (String::new(), "a/b/".to_owned()));
    }
}
