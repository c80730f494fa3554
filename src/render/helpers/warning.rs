//! `warn` logs what a template leaves out; `claim` gives a name to the first of several owners.

use serde_json::Value;

use super::{HelperCall, HelperDefinition, UNLIMITED, call::to_text, query_helper};
use crate::render::recorder::QueryRecorder;

pub(super) const ALL: &[HelperDefinition] =
    &[query_helper("warn", 1..=UNLIMITED, &[], warn), query_helper("claim", 2..=3, &[], claim)];

/// Prints nothing. Its arguments are the words of one log line.
fn warn(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let word = |value: &Value| to_text(value).map_err(|other| format!("it takes texts, not {other}"));
    let words = call.values(0)?.into_iter().map(word).collect::<Result<Vec<_>, _>>()?;
    recorder.warn(words.join(" "));
    Ok(Value::String(String::new()))
}

/// Whether this owner is the first in this render to claim the name, regardless of case. The same owner may claim it
/// again; another owner is named in the log.
fn claim(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let (kind, name) = (call.text(0)?, call.text(1)?);
    let owner = call.optional_text(2)?.unwrap_or_else(|| name.clone());
    let Err(first) = recorder.claim(kind.clone(), name.to_ascii_lowercase(), owner.clone()) else {
        return Ok(Value::Bool(true));
    };
    if first != owner {
        let whose = if owner == name { String::new() } else { format!(" of {owner:?}") };
        recorder.warn(format!("the {kind} {name:?}{whose} is left out: {first:?} already uses it"));
    }
    Ok(Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use crate::render::{Answers, CompiledTemplate, Escape, RenderInputs, RenderOutcome};

    #[test]
    fn first_claim_succeeds_and_others_are_logged() {
        let template =
            "{{#each all}}{{#if (claim \"host\" host name)}}{{name}} {{/if}}{{/each}}{{warn \"no\" 1 \"more\"}}";
        let item = json!({"all": [
            {"name": "a", "host": "x"}, {"name": "a", "host": "X"}, {"name": "b", "host": "X"}, {"name": "b", "host": "y"},
        ]});
        let template = CompiledTemplate::compile("t.hbs", template, Escape::Nginx).expect("it compiles");
        let report = template.render(RenderInputs { answers: &Answers::new(), env: &BTreeMap::new(), item: &item });
        assert_eq!(report.outcome, RenderOutcome::Text("a b ".to_owned()));
        let warnings: Vec<_> = report.warnings.into_iter().collect();
        assert_eq!(warnings, ["no 1 more", "the host \"X\" of \"b\" is left out: \"a\" already uses it"]);
    }
}
