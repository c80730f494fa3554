//! Helpers as templates call them, for tests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::render::{Answers, CompiledTemplate, Escape, RenderInputs, RenderOutcome};

/// What `template` becomes where `data` is at hand; or the reason why not.
pub(super) fn render_text(data: &Value, template: &str) -> Result<String, String> {
    let compiled = CompiledTemplate::compile("t.hbs", template, Escape::None).map_err(|error| error.reason)?;
    let inputs = RenderInputs { answers: &Answers::new(), env: &BTreeMap::new(), item: data };
    match compiled.render(inputs).outcome {
        RenderOutcome::Text(text) => Ok(text),
        RenderOutcome::Failed(error) => Err(error.reason),
        RenderOutcome::Missing(missing) => panic!("{template} waits for {missing:?}"),
    }
}

/// Each expression, written in JSON, is the text beside it.
pub(super) fn assert_values(data: &Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(
            render_text(data, &format!("{{{{toJSON {expression}}}}}")),
            Ok((*expected).to_owned()),
            "{expression}"
        );
    }
}

/// Each expression fails, for a reason that contains the text beside it.
pub(super) fn assert_errors(data: &Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let error = render_text(data, &format!("{{{{toJSON {expression}}}}}")).expect_err(expression);
        assert!(error.contains(expected), "{expression}: {error}");
    }
}
