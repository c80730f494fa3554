//! `warn`: what a template leaves out is told in the log; `claim`: of several that want one name, the first has it.

use serde_json::Value;

use super::{HelperCall, HelperDefinition, UNLIMITED, call::to_text, query_helper};
use crate::render::recorder::QueryRecorder;

pub(super) const ALL: &[HelperDefinition] =
    &[query_helper("warn", 1..=UNLIMITED, &[], warn), query_helper("claim", 2..=3, &[], claim)];

/// Prints nothing. The arguments are the words of a line in the log.
fn warn(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let word = |value: &Value| to_text(value).map_err(|other| format!("it takes texts, not {other}"));
    let words = call.values(0)?.into_iter().map(word).collect::<Result<Vec<_>, _>>()?;
    pass.warn(words.join(" "));
    Ok(Value::String(String::new()))
}

/// Whether this is the first in the render that claims the name. Upper and lower case are one. The same owner may ask
/// again without a word; anybody else is named in the log.
fn claim(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let (kind, name) = (call.text(0)?, call.text(1)?);
    let owner = call.optional_text(2)?.unwrap_or_else(|| name.clone());
    let Err(first) = pass.claim(kind.clone(), name.to_ascii_lowercase(), owner.clone()) else {
        return Ok(Value::Bool(true));
    };
    if first != owner {
        let whose = if owner == name { String::new() } else { format!(" of {owner:?}") };
        pass.warn(format!("the {kind} {name:?}{whose} is left out: {first:?} has it already"));
    }
    Ok(Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use crate::render::{Answers, CompiledTemplate, Escape, RenderInputs, RenderOutcome};

    #[test]
    fn the_first_claim_counts_and_the_others_are_told() {
        let template =
            "{{#each all}}{{#if (claim \"host\" host name)}}{{name}} {{/if}}{{/each}}{{warn \"no\" 1 \"more\"}}";
        let item = json!({"all": [
            {"name": "a", "host": "x"}, {"name": "a", "host": "X"}, {"name": "b", "host": "X"}, {"name": "b", "host": "y"},
        ]});
        let template = CompiledTemplate::compile("t.hbs", template, Escape::Nginx).expect("it compiles");
        let pass = template.render(RenderInputs { answers: &Answers::new(), env: &BTreeMap::new(), item: &item });
        assert_eq!(pass.outcome, RenderOutcome::Text("a b ".to_owned()));
        let remarks: Vec<_> = pass.warnings.into_iter().collect();
        assert_eq!(remarks, ["no 1 more", "the host \"X\" of \"b\" is left out: \"a\" has it already"]);
    }
}
