//! Parses lists of tags, and renders the template of `--tags`. Pure.

use std::collections::BTreeMap;

use handlebars::{
    Context, Handlebars, RenderContext, RenderErrorReason, Renderable, StringOutput, Template, TemplateError, no_escape,
};
use serde_json::json;

use crate::{core::value::clean, docker::Container};

/// Splits at commas; `\,` is a comma inside a tag. Tags keep their order, are trimmed, and duplicates are dropped.
pub(super) fn split_tags(text: &str) -> Vec<String> {
    let mut tags = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let tag = tags.last_mut().expect("there is always one");
        match char {
            '\\' if rest.next_if_eq(&',').is_some() => tag.push(','),
            ',' => tags.push(String::new()),
            _ => tag.push(char),
        }
    }
    deduplicated(tags.iter().map(|tag| clean(tag)).filter(|tag| !tag.is_empty()).map(str::to_owned))
}

/// Renders `--tags` for one container and splits the result. The template can use `id`, `name`, `image`, `env` and
/// `labels`.
pub(super) fn render_tags(template: &str, container: &Container) -> Result<Vec<String>, String> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(no_escape);
    let template = Template::compile(template).map_err(|error| syntax_problem(&error))?;
    let env: BTreeMap<_, _> = container.env.iter().map(|(name, value)| (name, value)).collect();
    let (id, name, image, labels) = (&container.id, &container.name, &container.image, &container.labels);
    let data = json!({"id": id, "name": name, "image": image, "env": env, "labels": labels});
    let mut output = StringOutput::new();
    let context = Context::wraps(data).map_err(|error| render_problem(error.reason()))?;
    template
        .render(&engine, &context, &mut RenderContext::new(None), &mut output)
        .map_err(|error| render_problem(error.reason()))?;
    output.into_string().map(|text| split_tags(&text)).map_err(|error| error.to_string())
}

/// Why a text is not a Handlebars template; `None` if it is one, or if it is a Go template, which has a message of its
/// own.
pub(super) fn template_problem(template: &str) -> Option<String> {
    let error = Template::compile(template).err().filter(|_| go_template(template).is_none());
    error.map(|error| syntax_problem(&error))
}

fn syntax_problem(error: &TemplateError) -> String {
    match error.pos() {
        Some((line, column)) => format!("line {line}, column {column}: {}", error.reason()),
        None => error.reason().to_string(),
    }
}

fn render_problem(error: &RenderErrorReason) -> String {
    match error {
        RenderErrorReason::MissingVariable(Some(path)) => format!("the container has no {path}"),
        // Only `lookup` does not report the name of the missing value.
        RenderErrorReason::MissingVariable(None) => "a lookup finds nothing in the container".to_owned(),
        RenderErrorReason::HelperNotFound(name) => format!("there is no helper {name}"),
        RenderErrorReason::PartialNotFound(name) => format!("there is no partial {name}"),
        RenderErrorReason::ParamNotFoundForIndex(helper, _) => format!("{helper} needs one more argument"),
        other => other.to_string(),
    }
}

/// How a Go template of registrator is written in Handlebars; `None` if it is not a Go template.
///
/// In Go, names begin with a dot or are function calls; Handlebars has neither.
pub(super) fn go_template(template: &str) -> Option<String> {
    const FUNCTIONS: [&str; 16] = [
        "index",
        "sIndex",
        "mIndex",
        "strSlice",
        "toUpper",
        "toLower",
        "replace",
        "join",
        "split",
        "splitIndex",
        "matchFirstElement",
        "matchAllElements",
        "httpGet",
        "jsonParse",
        "printf",
        "range",
    ];
    let expressions = || template.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0));
    let is_go = |expression: &str| {
        let expression = expression.trim_matches(['-', ' ']);
        let first = expression.split([' ', '(']).next().unwrap_or_default();
        expression.split([' ', '(']).any(|word| word.starts_with('.') && word.len() > 1 && !word.starts_with(".."))
            || FUNCTIONS.contains(&first)
    };
    if !expressions().any(is_go) {
        return None;
    }
    let translated = expressions().try_fold(template.to_owned(), |text, expression| {
        Some(text.replace(&format!("{{{{{expression}}}}}"), &format!("{{{{{}}}}}", to_handlebars(expression)?)))
    });
    Some(match translated {
        Some(translated) => format!("write {translated:?}"),
        None => "{{.Name}} is {{name}}, {{.ID}} is {{id}}, {{.Config.Image}} is {{image}}, \
                 {{index .Config.Labels \"a.b\"}} is {{labels.[a.b]}}, and the variable A is {{env.A}}"
            .to_owned(),
    })
}

/// Translates an expression of a Go template; `None` if Handlebars has no equivalent.
fn to_handlebars(expression: &str) -> Option<String> {
    let expression = expression.trim_matches(['-', ' ']);
    let label = expression.strip_prefix("index .Config.Labels ").map(|label| label.trim().trim_matches(['"', '`']));
    let label = label.or_else(|| expression.strip_prefix(".Config.Labels."));
    match expression {
        ".ID" | ".Id" => Some("id".to_owned()),
        ".Name" => Some("name".to_owned()),
        ".Config.Image" => Some("image".to_owned()),
        _ => label.map(|label| format!("labels.[{label}]")),
    }
}

/// The tags without duplicates.
pub(super) fn deduplicated(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut unique = Vec::new();
    for tag in tags {
        if !unique.contains(&tag) {
            unique.push(tag);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_over_the_container() {
        let mut web = crate::register::fixture::container("web-1").env("STAGE", "prod");
        web.labels.insert("com.example.team".into(), "blue".into());
        let tags = |template: &str| render_tags(template, &web);
        let all = tags("fixed,{{env.STAGE}},{{name}},{{labels.[com.example.team]}}");
        assert_eq!(all, Ok(["fixed", "prod", "web-1", "blue"].map(str::to_owned).into()));
        assert_eq!(tags("{{env.MISSING}}"), Err("the container has no env.MISSING".into()));
        assert_eq!(tags("{{upper name}}"), Err("there is no helper upper".into()));
        assert_eq!(tags("{{> x}}"), Err("there is no partial x".into()));
        assert_eq!(tags("{{lookup env \"A\"}}"), Err("a lookup finds nothing in the container".into()));
        assert_eq!(tags("{{#each labels}}{{this}},{{/each}}"), Ok(vec!["blue".into()]));
        assert!(tags("{{ sIndex 0 .Config.Env }}").is_err(), "a Go template");
    }

    #[test]
    fn go_templates_are_recognised_and_translated() {
        let cases = [
            ("{{.ID}}", Some("write \"{{id}}\"")),
            ("a,{{ .Name }},{{.Config.Image}}", Some("write \"a,{{name}},{{image}}\"")),
            (r#"{{index .Config.Labels "team"}}"#, Some(r#"write "{{labels.[team]}}""#)),
            ("{{name}},{{env.STAGE}},{{labels.[a.b]}}", None),
            ("plain,tags", None),
            ("{{#each labels}}{{this}}{{/each}}", None),
        ];
        for (template, hint) in cases {
            assert_eq!(go_template(template).as_deref(), hint, "{template}");
        }
        for template in ["{{ sIndex 0 .Config.Env }}", "{{toUpper .Name}}", "{{range .Config.Env}}{{.}}{{end}}"] {
            assert!(go_template(template).is_some_and(|hint| hint.contains("{{name}}")), "{template}");
        }
    }

    #[test]
    fn an_invalid_template_is_found_without_a_container() {
        assert!(template_problem("a,{{name").is_some_and(|problem| problem.starts_with("line 1, column ")));
        assert!(template_problem("{{#if name}}x").is_some());
        for good in ["a,{{name}}", "", "{{ .Name }}", "{{range .Config.Env}}{{.}}{{end}}"] {
            assert_eq!(template_problem(good), None, "{good:?}");
        }
    }

    #[test]
    fn comma_lists() {
        let cases: [(&str, &[&str]); 11] = [
            ("\"a\", 'b'", &["a", "b"]),
            ("", &[]),
            ("foobar", &["foobar"]),
            ("master,backups", &["master", "backups"]),
            ("foo\\,bar", &["foo,bar"]),
            ("foo,bar\\,baz", &["foo", "bar,baz"]),
            ("\\,foobar\\,", &[",foobar,"]),
            (",,,,foo,,,bar,,,", &["foo", "bar"]),
            (",,\\,,", &[","]),
            (" a , b,a", &["a", "b"]),
            ("a\\b", &["a\\b"]),
        ];
        for (text, tags) in cases {
            assert_eq!(split_tags(text), tags, "{text:?}");
        }
    }
}
