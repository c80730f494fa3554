//! The calls in a template as their author wrote them: an error that only knows a place and a helper's name can say
//! more with them.

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};

use super::compile::{Position, elements};

/// One call: its text, and the texts of its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) text: String,
    pub(super) arguments: Vec<String>,
}

/// The calls of `helper` in the element that begins at a place.
pub(super) fn at(template: &Template, place: Position, helper: &str) -> Vec<Call> {
    let mut found = Vec::new();
    search(template, (1, 1), place, helper, &mut found);
    found
}

fn search(template: &Template, at: Position, place: Position, helper: &str, found: &mut Vec<Call>) {
    for (element, at) in elements(template, at) {
        match element {
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) if at == place => {
                collect(call, helper, found);
            }
            TemplateElement::HelperBlock(call) => {
                if at == place {
                    collect(call, helper, found);
                }
                for branch in [&call.template, &call.inverse].into_iter().flatten() {
                    search(branch, at, place, helper, found);
                }
            }
            TemplateElement::DecoratorExpression(part)
            | TemplateElement::DecoratorBlock(part)
            | TemplateElement::PartialExpression(part)
            | TemplateElement::PartialBlock(part) => {
                if at == place {
                    part.params.iter().chain(part.hash.values()).for_each(|value| inside(value, helper, found));
                }
                part.template.iter().for_each(|body| search(body, at, place, helper, found));
            }
            _ => {}
        }
    }
}

fn collect(call: &HelperTemplate, helper: &str, found: &mut Vec<Call>) {
    call.params.iter().chain(call.hash.values()).for_each(|value| inside(value, helper, found));
    if call.name.as_name() == Some(helper) {
        found.push(Call { text: text(call), arguments: call.params.iter().map(written).collect() });
    }
}

fn inside(value: &Parameter, helper: &str, found: &mut Vec<Call>) {
    if let Some(call) = called(value) {
        collect(call, helper, found);
    }
}

fn called(value: &Parameter) -> Option<&HelperTemplate> {
    match value {
        Parameter::Subexpression(inner) => match inner.as_element() {
            TemplateElement::Expression(call) => Some(call),
            _ => None,
        },
        _ => None,
    }
}

/// A value as an argument is written.
pub(super) fn written(value: &Parameter) -> String {
    match (called(value), value) {
        (Some(call), _) => format!("({})", text(call)),
        (None, Parameter::Literal(literal)) => literal.to_string(),
        (None, other) => other.as_name().unwrap_or_default().to_owned(),
    }
}

/// A value as it stands between two braces.
pub(super) fn printed(value: &Parameter) -> String {
    called(value).map_or_else(|| written(value), text)
}

fn text(call: &HelperTemplate) -> String {
    let mut options: Vec<_> = call.hash.iter().map(|(name, value)| format!("{name}={}", written(value))).collect();
    options.sort();
    let words = std::iter::once(written(&call.name)).chain(call.params.iter().map(written)).chain(options);
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_as_it_was_written() {
        let text = "a\n{{#if (or (eq meta.x \"1\") (eq ../y (len z)))}}{{/if}}{{eq 1 2}}";
        let template = Template::compile(text).expect("it is sound");
        let calls: Vec<_> = at(&template, (2, 1), "eq").into_iter().map(|call| call.text).collect();
        assert_eq!(calls, ["eq meta.x \"1\"", "eq ../y (len z)"]);
        assert_eq!(at(&template, (2, 1), "eq")[0].arguments, ["meta.x", "\"1\""]);
        assert!(at(&template, (1, 1), "eq").is_empty());
    }
}
