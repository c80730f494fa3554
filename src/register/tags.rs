//! Lists of tags, and the template that makes some for every container. Pure.

use std::collections::BTreeMap;

use handlebars::{Handlebars, no_escape};
use serde_json::json;

use crate::docker::Container;

/// Splits at commas; `\,` is a comma that belongs to the tag. Tags keep their order, are trimmed, and come once each.
pub(super) fn split(text: &str) -> Vec<String> {
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
    once_each(tags.iter().map(|tag| tag.trim()).filter(|tag| !tag.is_empty()).map(str::to_owned))
}

/// Renders `--tags` for one container, and splits the result. Known are `id`, `name`, `image`, `env` and `labels`.
pub(super) fn from_template(template: &str, container: &Container) -> Result<Vec<String>, String> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(no_escape);
    let env: BTreeMap<_, _> = container.env.iter().map(|(name, value)| (name, value)).collect();
    let (id, name, image, labels) = (&container.id, &container.name, &container.image, &container.labels);
    let data = json!({"id": id, "name": name, "image": image, "env": env, "labels": labels});
    engine.render_template(template, &data).map(|text| split(&text)).map_err(|error| error.to_string())
}

/// Drops what came before.
pub(super) fn once_each(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut once = Vec::new();
    for tag in tags {
        if !once.contains(&tag) {
            once.push(tag);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_over_the_container() {
        let mut web = crate::register::fixture::container("web-1").env("STAGE", "prod");
        web.labels.insert("com.example.team".into(), "blue".into());
        let tags = |template: &str| from_template(template, &web);
        let all = tags("fixed,{{env.STAGE}},{{name}},{{labels.[com.example.team]}}");
        assert_eq!(all, Ok(["fixed", "prod", "web-1", "blue"].map(str::to_owned).into()));
        assert!(tags("{{env.MISSING}}").is_err());
        assert!(tags("{{ sIndex 0 .Config.Env }}").is_err(), "Go's templates are not ours");
    }

    #[test]
    fn comma_lists() {
        let cases: [(&str, &[&str]); 10] = [
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
            assert_eq!(split(text), tags, "{text:?}");
        }
    }
}
