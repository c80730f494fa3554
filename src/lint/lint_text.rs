//! Lints the text of one Compose file. Pure.

use super::{
    compose, evaluated_service,
    finding::{Finding, SourcePosition},
    rules,
    yaml::{self, YamlError},
};
use crate::register::Settings;

/// All findings in a Compose file, in the order of their positions. `settings` are those of the `register` that will
/// register its containers.
///
/// # Errors
/// The text is not YAML, or not a Compose file.
pub fn lint_text(text: &str, settings: &Settings) -> Result<Vec<Finding>, YamlError> {
    let documents = yaml::parse_documents(text)?;
    if !documents.iter().any(compose::is_compose) {
        let message = "it has no services: is it a Compose file?".to_owned();
        return Err(YamlError { position: SourcePosition { line: 1, column: 1 }, message });
    }
    let services: Vec<_> = documents.iter().map(compose::services).collect::<Result<_, _>>()?;
    let services = services.concat();
    let evaluated: Vec<_> =
        services.iter().map(|service| evaluated_service::EvaluatedService::new(service, settings)).collect();
    Ok(rules::findings(&evaluated))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn no_compose_file_causes_a_panic(
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
        fn a_text_without_services_is_an_error(text in "[a-z:\\[\\]{}&*!|>'\"\n -]{0,40}") {
            prop_assert!(lint_text(&text, &Settings::default()).is_err());
        }
    }
}
