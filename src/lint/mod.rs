//! `portreeve lint`: looks for mistakes in a Compose file before it is deployed. Pure, but for [`read`].
//!
//! ```text
//! text --yaml--> tree with places --compose--> services --subject--> what register would make of them --rules--> findings
//! ```
//!
//! Nothing is judged twice: names, ids, addresses, Meta and checks come from the same functions that `register` uses.

mod coercion;
mod compose;
mod evaluated_service;
mod expected_shape;
mod files;
mod finding;
mod port_mapping;
mod rules;
mod text;
mod yaml;

pub use files::{Error, LintReport, lint_files};
pub use finding::{Finding, FindingLine, Severity, SourcePosition};
pub use yaml::YamlError;

use crate::register::Settings;

/// Everything that there is to say about a Compose file, from its top to its end. `settings` are those of the `register`
/// that its containers will meet.
///
/// # Errors
/// It is no YAML, or no Compose file.
pub fn lint_text(text: &str, settings: &Settings) -> Result<Vec<Finding>, YamlError> {
    let documents = yaml::parse_documents(text)?;
    if !documents.iter().any(compose::is_compose) {
        let message = "there are no services: is that a Compose file?".to_owned();
        return Err(YamlError { position: SourcePosition { line: 1, column: 1 }, message });
    }
    let services: Vec<_> = documents.iter().map(compose::services).collect::<Result<_, _>>()?;
    let services = services.concat();
    let subjects: Vec<_> =
        services.iter().map(|service| evaluated_service::EvaluatedService::new(service, settings)).collect();
    Ok(rules::findings(&subjects))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_written_is_survived(
            entries in prop::collection::vec(("(SERVICE_|portreeve[.]|)[A-Za-z0-9_.$İ/-]{0,12}", "[a-z0-9${}:'\"İ -]{0,8}"), 0..6),
            ports in prop::collection::vec("[0-9${}:/\\[\\]a-d.-]{0,12}", 0..3),
            image in "[a-z0-9${}:/@_]{0,12}",
        ) {
            let list: Vec<_> = entries.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let labels: std::collections::BTreeMap<_, _> = entries.iter().cloned().collect();
            let web = json!({"image": image, "environment": list, "labels": labels, "ports": ports, "scale": 2});
            // JSON is YAML.
            let file = json!({"services": {"web": web.clone(), "other": web}}).to_string();
            for internal in [false, true] {
                let settings = Settings { internal, ..Settings::default() };
                prop_assert!(lint_text(&file, &settings).is_ok(), "{}", file);
            }
        }

        #[test]
        fn what_is_no_compose_file_is_refused(text in "[a-z:\\[\\]{}&*!|>'\"\n -]{0,40}") {
            prop_assert!(lint_text(&text, &Settings::default()).is_err());
        }
    }
}
