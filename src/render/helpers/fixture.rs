//! Helpers as templates call them, for tests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::render::{Answers, Escape, Inputs, Outcome, Template};

/// What `template` becomes where `data` is at hand; or the reason why not.
pub(super) fn rendered(data: &Value, template: &str) -> Result<String, String> {
    let compiled = Template::compile("t.hbs", template, Escape::None).map_err(|error| error.reason)?;
    let inputs = Inputs { answers: &Answers::new(), env: &BTreeMap::new(), item: data };
    match compiled.render(inputs).outcome {
        Outcome::Text(text) => Ok(text),
        Outcome::Failed(error) => Err(error.reason),
        Outcome::Missing(missing) => panic!("{template} waits for {missing:?}"),
    }
}

/// Each expression, written in JSON, is the text beside it.
pub(super) fn gives(data: &Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(rendered(data, &format!("{{{{toJSON {expression}}}}}")), Ok((*expected).to_owned()), "{expression}");
    }
}

/// Each expression fails, for a reason that contains the text beside it.
pub(super) fn fails(data: &Value, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let error = rendered(data, &format!("{{{{toJSON {expression}}}}}")).expect_err(expression);
        assert!(error.contains(expected), "{expression}: {error}");
    }
}
