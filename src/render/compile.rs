//! From a template's text to what is rendered: parse, check what can be checked, and lead every output through the one
//! way out.

use handlebars::template::{
    DecoratorTemplate, HelperTemplate, Parameter, Subexpression, Template, TemplateElement, TemplateMapping,
};
use serde_json::Value;

use super::{
    TemplateError, call_text, go_template_hints,
    helpers::{self, CallForm, HelperDefinition, Printer},
    nesting::find_too_deep,
};
use crate::ui::suggest;

/// Line and column, counting from 1.
pub(super) type Position = (usize, usize);

/// What is wrong, and where.
pub(super) type Fault = (Position, String);

/// Compiles a template or a partial. What it includes is looked at later.
pub(super) fn compile_file(name: &str, source: &str) -> Result<Template, TemplateError> {
    let mut template = parse(name, source)?;
    route_output(&mut template, name);
    Ok(template)
}

/// Compiles `{{…}}` to something that prints the value as JSON.
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
    check_calls(&template, (1, 1)).map_err(|(position, reason)| TemplateError::at(name, source, position, reason))?;
    Ok(template)
}

/// Each element with its position; the engine has none for the branches of an `else if`, which take their block's.
pub(super) fn elements(template: &Template, at: Position) -> impl Iterator<Item = (&TemplateElement, Position)> {
    let positions = template.mapping.iter().map(|mapping| (mapping.0, mapping.1));
    template.elements.iter().zip(positions.chain(std::iter::repeat(at)))
}

/// Refuses calls that could never succeed: found here, they stop the start and not the first render that gets there.
fn check_calls(template: &Template, at: Position) -> Result<(), Fault> {
    for (element, at) in elements(template, at) {
        match element {
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                if is_call(call) {
                    check_call(call, CallForm::Value, at)?;
                } else {
                    check_parameters([&call.name].into_iter(), at)?;
                }
            }
            TemplateElement::HelperBlock(call) => {
                check_call(call, CallForm::Block, at)?;
                for branch in [&call.template, &call.inverse].into_iter().flatten() {
                    check_calls(branch, at)?;
                }
            }
            TemplateElement::DecoratorExpression(decorator) | TemplateElement::DecoratorBlock(decorator) => {
                check_decorator(decorator, at)?;
            }
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                check_parameters(partial.params.iter().chain(partial.hash.values()), at)?;
                partial.template.iter().try_for_each(|body| check_calls(body, at))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_decorator(decorator: &DecoratorTemplate, at: Position) -> Result<(), Fault> {
    match decorator.name.as_name() {
        Some("inline") => decorator.template.iter().try_for_each(|body| check_calls(body, at)),
        name => Err((at, format!("there is no decorator `{}`, only `inline`", name.unwrap_or("( )")))),
    }
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
            let here = inner.and_then(|inner| {
                Some(format!("; `{inner}` is from consul-template: {}", go_template_hints::replacement_hint(inner)?))
            });
            let here = here.unwrap_or_default();
            return fault(format!("`{name}` is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}{here}"));
        }
        (CallForm::Value, CallForm::Block) => {
            return fault(format!("`{name}` is no block: {{{{#each ({name} …)}}}} or {{{{{name} …}}}}"));
        }
        _ => {}
    }
    if !helper.arguments.contains(&call.params.len()) {
        let here = match name {
            "service" | "connect" => {
                "; instead of consul-template's second argument, write any=true or status=\"passing,warning\""
            }
            _ => "",
        };
        return fault(format!("`{name}` takes {}, not {}{here}", arity_text(helper), call.params.len()));
    }
    let mut options: Vec<_> = call.hash.keys().collect();
    options.sort();
    if let Some(option) = options.into_iter().find(|option| !helper.takes(option)) {
        let known = if helper.options.is_empty() { "none".to_owned() } else { helper.options.join(", ") };
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
    let meant = suggest::nearest(name, helpers::all().map(|helper| helper.name), 2);
    if let Some(here) = go_template_hints::replacement_hint(name) {
        format!("there is no helper `{name}`, which is from consul-template: {here}")
    } else if call.params.is_empty() && call.hash.is_empty() && !call.block {
        format!("there is no helper `{name}`; a value stands without parentheses")
    } else if let Some(meant) = meant.first() {
        format!("there is no helper `{name}`: did you mean `{meant}`?")
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

/// A name alone is a value: fields may be called like helpers (`key`, `node`). A call without arguments stands in
/// parentheses.
fn is_call(call: &HelperTemplate) -> bool {
    !call.params.is_empty() || !call.hash.is_empty()
}

/// The engine's name for a file. It takes an inclusion of that very name for a ring, so it must be no partial's.
pub(super) fn engine_name(file: &str) -> String {
    format!("\0{file}")
}

/// Makes `{{x}}` a call of the printing helper with `x`, and so on in all that is nested. All of it gets the file's
/// name: a body may be rendered from another file, and an error has to say where it stands.
fn route_output(template: &mut Template, file: &str) {
    template.name = Some(engine_name(file));
    let mappings = template.mapping.iter().map(Some).chain(std::iter::repeat(None));
    for (element, at) in template.elements.iter_mut().zip(mappings) {
        match element {
            TemplateElement::Expression(call) => call_printer(call, Printer::Checked),
            TemplateElement::HtmlExpression(call) => call_printer(call, Printer::Raw),
            TemplateElement::HelperBlock(call) => {
                let branches = [&mut call.template, &mut call.inverse];
                branches.into_iter().flatten().for_each(|branch| route_output(branch, file));
                reject_empty_with(call, at);
            }
            TemplateElement::DecoratorExpression(decorator)
            | TemplateElement::DecoratorBlock(decorator)
            | TemplateElement::PartialExpression(decorator)
            | TemplateElement::PartialBlock(decorator) => {
                decorator.template.iter_mut().for_each(|body| route_output(body, file));
            }
            _ => {}
        }
    }
}

/// A `with` of something empty that has no `else` is an error, which the engine gives as if there were no such value.
fn reject_empty_with(call: &mut HelperTemplate, at: Option<&TemplateMapping>) {
    let ([value], Some("with"), None) = (&call.params[..], call.name.as_name(), &call.inverse) else { return };
    let mut branch = Template::compile("{{value}}").expect("it is sound");
    if let Some(TemplateElement::Expression(refusal)) = branch.elements.first_mut() {
        let written = Parameter::Literal(Value::String(call_text::expression_text(value)));
        refusal.name = Parameter::Name(Printer::RejectEmpty.name().to_owned());
        refusal.params = vec![value.clone(), written];
    }
    branch.mapping = at.cloned().into_iter().collect();
    branch.name = call.template.as_ref().and_then(|body| body.name.clone());
    call.inverse = Some(branch);
}

/// The printing helper gets the value, and how it was written.
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
    let written = Parameter::Literal(Value::String(call_text::expression_text(&value)));
    call.params.extend([value, written]);
}
