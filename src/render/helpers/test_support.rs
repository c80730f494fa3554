//! Calls helpers through templates, for tests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::render::{Answers, CompiledTemplate, Escape, RenderInputs, RenderOutcome};

/// Renders `template` with `data` as `this`; `Err` is the reason of the error.
pub(super) fn render_text(data: &Value, template: &str) -> Result<String, String> {
    let compiled = CompiledTemplate::compile("t.hbs", template, Escape::None).map_err(|error| error.reason)?;
    let inputs = RenderInputs { answers: &Answers::new(), env: &BTreeMap::new(), item: data };
    match compiled.render(inputs).outcome {
        RenderOutcome::Text(text) => Ok(text),
        RenderOutcome::Failed(error) => Err(error.reason),
        RenderOutcome::Missing(missing) => panic!("{template} waits for {missing:?}"),
    }
}

/// Asserts that each expression, converted to JSON, gives the text beside it.
pub(super) fn assert_values(data: &Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(
            render_text(data, &format!("{{{{toJSON {expression}}}}}")),
            Ok((*expected).to_owned()),
            "{expression}"
        );
    }
}

/// Asserts that each expression fails with a reason that contains the text beside it.
pub(super) fn assert_errors(data: &Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let error = render_text(data, &format!("{{{{toJSON {expression}}}}}")).expect_err(expression);
        assert!(error.contains(expected), "{expression}: {error}");
    }
}
