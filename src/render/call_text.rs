//! The source text of calls. The engine reports only a position and a helper's name; with the text, an error can quote
//! the call.

use std::convert::Infallible;

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};

use super::ast::{self, Position};

/// One call: its text, and the texts of its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallText {
    pub(super) text: String,
    pub(super) arguments: Vec<String>,
}

/// The calls of `helper` in the element at `position`.
pub(super) fn calls_at(template: &Template, position: Position, helper: &str) -> Vec<CallText> {
    let mut found = Vec::new();
    let walked = ast::walk(template, (), &mut |element, at, ()| {
        match element {
            _ if at != position => {}
            TemplateElement::Expression(call)
            | TemplateElement::HtmlExpression(call)
            | TemplateElement::HelperBlock(call) => collect(call, helper, &mut found),
            TemplateElement::DecoratorExpression(part)
            | TemplateElement::DecoratorBlock(part)
            | TemplateElement::PartialExpression(part)
            | TemplateElement::PartialBlock(part) => {
                part.params
                    .iter()
                    .chain(part.hash.values())
                    .for_each(|value| collect_inside(value, helper, &mut found));
            }
            _ => {}
        }
        Ok::<_, Infallible>(())
    });
    let Ok(()) = walked;
    found
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

/// A value as written as an argument: calls are in parentheses.
pub(super) fn argument_text(value: &Parameter) -> String {
    match (as_call(value), value) {
        (Some(call), _) => format!("({})", call_text(call)),
        (None, Parameter::Literal(literal)) => literal.to_string(),
        (None, other) => other.as_name().unwrap_or_default().to_owned(),
    }
}

/// A value as written between braces: calls have no parentheses.
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
    fn the_text_of_a_call_is_as_written() {
        let text = "a\n{{#if (or (eq meta.x \"1\") (eq ../y (len z)))}}{{/if}}{{eq 1 2}}";
        let template = Template::compile(text).expect("it compiles");
        let calls: Vec<_> = calls_at(&template, (2, 1), "eq").into_iter().map(|call| call.text).collect();
        assert_eq!(calls, ["eq meta.x \"1\"", "eq ../y (len z)"]);
        assert_eq!(calls_at(&template, (2, 1), "eq")[0].arguments, ["meta.x", "\"1\""]);
        assert!(calls_at(&template, (1, 1), "eq").is_empty());
    }
}
