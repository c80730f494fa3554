//! Partials that include each other in a ring would not end, but overflow the stack and abort the process. So every
//! partial is known by name when a template is compiled, and a ring is refused.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::template::{DecoratorTemplate, Parameter, Template, TemplateElement};
use serde_json::Value;

use super::compile::{Fault, Position, elements};

/// Who includes whom, and where. The template itself has no name, so it cannot be included.
type Inclusions = BTreeMap<Option<String>, BTreeMap<String, Position>>;

/// The content that a partial's caller wrote between `{{#> name}}` and `{{/name}}`. It is rendered before the partial
/// is, as part of the caller.
const PARTIAL_BLOCK: &str = "@partial-block";

/// Refuses names that are computed or unknown, and rings.
pub(super) fn check(template: &Template) -> Result<(), Fault> {
    let mut inclusions = Inclusions::new();
    collect(template, (1, 1), None, &mut inclusions)?;
    for (name, at) in inclusions.values().flatten() {
        if !inclusions.contains_key(&Some(name.clone())) {
            return Err((
                *at,
                format!("there is no partial `{name}`: {{{{#*inline \"{name}\"}}}} … {{{{/inline}}}} makes one"),
            ));
        }
    }
    let mut done = BTreeSet::new();
    inclusions.keys().try_for_each(|name| search(name, &inclusions, &mut Vec::new(), &mut done))
}

fn collect(template: &Template, at: Position, inside: Option<&str>, found: &mut Inclusions) -> Result<(), Fault> {
    found.entry(inside.map(str::to_owned)).or_default();
    for (element, at) in elements(template, at) {
        match element {
            TemplateElement::HelperBlock(call) => {
                for branch in [&call.template, &call.inverse].into_iter().flatten() {
                    collect(branch, at, inside, found)?;
                }
            }
            TemplateElement::DecoratorExpression(decorator) | TemplateElement::DecoratorBlock(decorator) => {
                let name = inline_name(decorator).ok_or_else(|| (at, "a partial's name must be a text".to_owned()))?;
                let body = decorator.template.as_ref().ok_or_else(|| {
                    (at, format!("a partial needs a body: {{{{#*inline \"{name}\"}}}} … {{{{/inline}}}}"))
                })?;
                collect(body, at, Some(name), found)?;
            }
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                let name =
                    partial.name.as_name().ok_or_else(|| (at, "a partial's name cannot be computed".to_owned()))?;
                if name != PARTIAL_BLOCK {
                    let included = found.entry(inside.map(str::to_owned)).or_default();
                    included.entry(name.to_owned()).or_insert(at);
                }
                if let Some(body) = &partial.template {
                    collect(body, at, inside, found)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn inline_name(decorator: &DecoratorTemplate) -> Option<&str> {
    match decorator.params.first()? {
        Parameter::Literal(Value::String(name)) => Some(name),
        _ => None,
    }
}

/// Walks down from `name`; `path` is how we got there.
fn search(
    name: &Option<String>,
    inclusions: &Inclusions,
    path: &mut Vec<Option<String>>,
    done: &mut BTreeSet<Option<String>>,
) -> Result<(), Fault> {
    if done.contains(name) {
        return Ok(());
    }
    path.push(name.clone());
    for (next, at) in &inclusions[name] {
        let next = Some(next.clone());
        if let Some(start) = path.iter().position(|step| *step == next) {
            let ring = path[start..].iter().chain([&next]).flatten().map(String::as_str);
            return Err((
                *at,
                format!("partials include each other without end: {}", ring.collect::<Vec<_>>().join(" -> ")),
            ));
        }
        search(&next, inclusions, path, done)?;
    }
    path.pop();
    done.insert(name.clone());
    Ok(())
}
