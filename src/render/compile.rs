//! Compiles a template: parses it, checks its calls, and routes all output through the printing helpers, which escape it.

use handlebars::template::{HelperTemplate, Parameter, Subexpression, Template, TemplateElement, TemplateMapping};
use serde_json::Value;

use super::{
    TemplateError,
    ast::{self, Fault, Position},
    call_text, go_template_hints,
    helpers::{self, CallForm, HelperDefinition, Printer},
    nesting::find_too_deep,
};
use crate::ui::suggest;

/// Compiles a template or a partial. Its inclusions are checked later.
pub(super) fn compile_file(name: &str, source: &str) -> Result<Template, TemplateError> {
    let mut template = parse(name, source)?;
    route_output(&mut template, name);
    Ok(template)
}

/// Compiles `{{…}}` so that it prints the value as JSON.
pub(super) fn compile_expression(name: &str, source: &str) -> Result<Template, TemplateError> {
    let mut template = parse(name, source)?;
    let [TemplateElement::Expression(call)] = &mut template.elements[..] else {
        let reason = "this must be one expression, such as (services) or (tree \"vhosts/\")";
        return Err(TemplateError::at(name, source, (1, 1), reason.to_owned()));
    };
    call_printer(call, Printer::ToJson);
    Ok(template)
}

fn parse(name: &str, source: &str) -> Result<Template, TemplateError> {
    if let Some((position, reason)) = find_too_deep(source) {
        return Err(TemplateError::at(name, source, position, reason));
    }
    let template = Template::compile(source).map_err(|error| TemplateError::from_syntax_error(name, source, &error))?;
    check_calls(&template).map_err(|(position, reason)| TemplateError::at(name, source, position, reason))?;
    Ok(template)
}

/// Rejects calls that can never succeed, so that they are reported at compile time, not by the first render that
/// reaches them.
fn check_calls(template: &Template) -> Result<(), Fault> {
    ast::walk(template, (), &mut |element, at, ()| match element {
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) if is_call(call) => {
            check_call(call, CallForm::Value, at)
        }
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
            check_parameters([&call.name].into_iter(), at)
        }
        TemplateElement::HelperBlock(call) => check_call(call, CallForm::Block, at),
        TemplateElement::DecoratorExpression(decorator) | TemplateElement::DecoratorBlock(decorator) => {
            match decorator.name.as_name() {
                Some("inline") => Ok(()),
                name => Err((at, format!("there is no decorator `{}`, only `inline`", name.unwrap_or("( )")))),
            }
        }
        TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
            check_parameters(partial.params.iter().chain(partial.hash.values()), at)
        }
        _ => Ok(()),
    })
}

fn check_call(call: &HelperTemplate, form: CallForm, at: Position) -> Result<(), Fault> {
    let fault = |reason| Err((at, reason));
    let Some(name) = call.name.as_name() else {
        return fault("a helper's name cannot be computed".to_owned());
    };
    let Some(helper) = helpers::find(name) else { return fault(unknown_helper(name, call)) };
    match (helper.form, form) {
        (CallForm::Block, CallForm::Value) => {
            let inner = call.params.first().and_then(Parameter::as_name);
            let hint = inner.and_then(|inner| {
                Some(format!("; `{inner}` is from consul-template: {}", go_template_hints::replacement_hint(inner)?))
            });
            let hint = hint.unwrap_or_default();
            return fault(format!("`{name}` is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}{hint}"));
        }
        (CallForm::Value, CallForm::Block) => {
            return fault(format!("`{name}` is not a block: {{{{#each ({name} …)}}}} or {{{{{name} …}}}}"));
        }
        _ => {}
    }
    if !helper.arguments.contains(&call.params.len()) {
        let hint = match name {
            "service" | "connect" => {
                "; instead of consul-template's second argument, write any=true or status=\"passing,warning\""
            }
            _ => "",
        };
        return fault(format!("`{name}` takes {}, not {}{hint}", arity_text(helper), call.params.len()));
    }
    let mut options: Vec<_> = call.hash.keys().collect();
    options.sort();
    if let Some(option) = options.into_iter().find(|option| !helper.takes(option)) {
        let known = helper.option_names().join(", ");
        let known = if known.is_empty() { "none" } else { &known };
        return fault(format!("`{name}` has no option `{option}` (it has: {known})"));
    }
    check_parameters(call.params.iter().chain(call.hash.values()), at)
}

fn check_parameters<'a>(parameters: impl Iterator<Item = &'a Parameter>, at: Position) -> Result<(), Fault> {
    for parameter in parameters {
        if let Parameter::Subexpression(inner) = parameter
            && let TemplateElement::Expression(call) = inner.as_element()
        {
            if call.name.as_name() == Some("raw") {
                return Err((at, "`raw` prints: it cannot stand in parentheses".to_owned()));
            }
            check_call(call, CallForm::Value, at)?;
        }
    }
    Ok(())
}

fn unknown_helper(name: &str, call: &HelperTemplate) -> String {
    let similar = suggest::nearest(name, helpers::all().map(|helper| helper.name), 2);
    if let Some(hint) = go_template_hints::replacement_hint(name) {
        format!("there is no helper `{name}`, which is from consul-template: {hint}")
    } else if call.params.is_empty() && call.hash.is_empty() && !call.block {
        format!("there is no helper `{name}`; a value stands without parentheses")
    } else if let Some(similar) = similar.first() {
        format!("there is no helper `{name}`: did you mean `{similar}`?")
    } else {
        format!("there is no helper `{name}`: the reference lists all of them, by what they are for")
    }
}

fn arity_text(helper: &HelperDefinition) -> String {
    match (*helper.arguments.start(), *helper.arguments.end()) {
        (from, to) if from == to => format!("{from} argument{}", if from == 1 { "" } else { "s" }),
        (from, usize::MAX) => format!("at least {from} arguments"),
        (from, to) => format!("{from} to {to} arguments"),
    }
}

/// Whether an expression calls a helper. A name alone is a value, since fields may have the names of helpers (`key`,
/// `node`); a call without arguments needs parentheses.
fn is_call(call: &HelperTemplate) -> bool {
    !call.params.is_empty() || !call.hash.is_empty()
}

/// The name of a file in the engine. It begins with NUL so that no partial can have it: the engine treats the inclusion
/// of this name as a cycle.
pub(super) fn engine_name(file: &str) -> String {
    format!("\0{file}")
}

/// Turns `{{x}}` into a call of a printing helper with `x`, in nested templates too. Each nested template gets the
/// file's name: it may be rendered from another file, and an error must name the file that contains it.
fn route_output(template: &mut Template, file: &str) {
    template.name = Some(engine_name(file));
    let mappings = template.mapping.iter().map(Some).chain(std::iter::repeat(None));
    for (element, at) in template.elements.iter_mut().zip(mappings) {
        ast::bodies_mut(element).into_iter().flatten().for_each(|body| route_output(body, file));
        match element {
            TemplateElement::Expression(call) => call_printer(call, Printer::Checked),
            TemplateElement::HtmlExpression(call) => call_printer(call, Printer::Raw),
            TemplateElement::HelperBlock(call) => reject_empty_with(call, at),
            _ => {}
        }
    }
}

/// Makes a `with` without `else` fail if its value is empty, as it does if the value does not exist.
fn reject_empty_with(call: &mut HelperTemplate, at: Option<&TemplateMapping>) {
    let ([value], Some("with"), None) = (&call.params[..], call.name.as_name(), &call.inverse) else { return };
    let mut branch = Template::compile("{{value}}").expect("it is valid");
    if let Some(TemplateElement::Expression(call)) = branch.elements.first_mut() {
        let text = Parameter::Literal(Value::String(call_text::expression_text(value)));
        call.name = Parameter::Name(Printer::RejectEmpty.name().to_owned());
        call.params = vec![value.clone(), text];
    }
    branch.mapping = at.cloned().into_iter().collect();
    branch.name = call.template.as_ref().and_then(|body| body.name.clone());
    call.inverse = Some(branch);
}

/// Replaces an expression with a call of a printing helper, which gets the value and its source text.
fn call_printer(call: &mut HelperTemplate, printer: Printer) {
    let is_call = is_call(call);
    let name = std::mem::replace(&mut call.name, Parameter::Name(String::new()));
    let mut params = std::mem::take(&mut call.params);
    let hash = std::mem::take(&mut call.hash);
    let called = if is_call { name.as_name() } else { None };
    let printer = match called {
        _ if printer == Printer::ToJson => printer,
        Some("raw" | "quote") => Printer::Raw,
        Some("upstream") => Printer::ServerLines,
        Some("toJSON" | "toJSONPretty") if printer == Printer::Checked => Printer::Json,
        _ => printer,
    };
    call.name = Parameter::Name(printer.name().to_owned());
    let value = match called {
        Some("raw") if params.len() == 1 => params.remove(0),
        Some(called) => Parameter::Subexpression(Subexpression::new(Parameter::Name(called.to_owned()), params, hash)),
        None => name,
    };
    let text = Parameter::Literal(Value::String(call_text::expression_text(&value)));
    call.params.extend([value, text]);
}
