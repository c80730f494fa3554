//! The calls in a template as their author wrote them: an error that only knows a place and a helper's name can say
//! more with them.

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};

use super::compile::{Position, elements};

/// One call: its text, and the texts of its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallText {
    pub(super) text: String,
    pub(super) arguments: Vec<String>,
}

/// The calls of `helper` in the element that begins at a place.
pub(super) fn calls_at(template: &Template, place: Position, helper: &str) -> Vec<CallText> {
    let mut found = Vec::new();
    collect_at(template, (1, 1), place, helper, &mut found);
    found
}

fn collect_at(template: &Template, at: Position, place: Position, helper: &str, found: &mut Vec<CallText>) {
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
                    collect_at(branch, at, place, helper, found);
                }
            }
            TemplateElement::DecoratorExpression(part)
            | TemplateElement::DecoratorBlock(part)
            | TemplateElement::PartialExpression(part)
            | TemplateElement::PartialBlock(part) => {
                if at == place {
                    part.params.iter().chain(part.hash.values()).for_each(|value| collect_inside(value, helper, found));
                }
                part.template.iter().for_each(|body| collect_at(body, at, place, helper, found));
            }
            _ => {}
        }
    }
}

fn collect(call: &HelperTemplate, helper: &str, found: &mut Vec<CallText>) {
    call.params.iter().chain(call.hash.values()).for_each(|value| collect_inside(value, helper, found));
    if call.name.as_name() == Some(helper) {
        found.push(CallText { text: call_text(call), arguments: call.params.iter().map(argument_text).collect() });
    }
}

fn collect_inside(value: &Parameter, helper: &str, found: &mut Vec<CallText>) {
    if let Some(call) = as_call(value) {
        collect(call, helper, found);
    }
}

fn as_call(value: &Parameter) -> Option<&HelperTemplate> {
    match value {
        Parameter::Subexpression(inner) => match inner.as_element() {
            TemplateElement::Expression(call) => Some(call),
            _ => None,
        },
        _ => None,
    }
}

/// A value as an argument is written.
pub(super) fn argument_text(value: &Parameter) -> String {
    match (as_call(value), value) {
        (Some(call), _) => format!("({})", call_text(call)),
        (None, Parameter::Literal(literal)) => literal.to_string(),
        (None, other) => other.as_name().unwrap_or_default().to_owned(),
    }
}

/// A value as it stands between two braces.
pub(super) fn expression_text(value: &Parameter) -> String {
    as_call(value).map_or_else(|| argument_text(value), call_text)
}

fn call_text(call: &HelperTemplate) -> String {
    let mut options: Vec<_> =
        call.hash.iter().map(|(name, value)| format!("{name}={}", argument_text(value))).collect();
    options.sort();
    let words = std::iter::once(argument_text(&call.name)).chain(call.params.iter().map(argument_text)).chain(options);
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reads_as_it_was_written() {
        let text = "a\n{{#if (or (eq meta.x \"1\") (eq ../y (len z)))}}{{/if}}{{eq 1 2}}";
        let template = Template::compile(text).expect("it is sound");
        let calls: Vec<_> = calls_at(&template, (2, 1), "eq").into_iter().map(|call| call.text).collect();
        assert_eq!(calls, ["eq meta.x \"1\"", "eq ../y (len z)"]);
        assert_eq!(calls_at(&template, (2, 1), "eq")[0].arguments, ["meta.x", "\"1\""]);
        assert!(calls_at(&template, (1, 1), "eq").is_empty());
    }
}
