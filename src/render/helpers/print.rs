//! Printers: the compiler turns every `{{…}}` into a call of one of them, with the value and its expression as written,
//! so that no value reaches the file unchecked.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use serde_json::Value;

use super::{
    HelperCall, HelperDefinition,
    call::{ArgumentOrigin, format_number},
    missing_value_message, query_helper,
};
use crate::render::{Escape, recorder::QueryRecorder};

pub(super) const ALL: &[HelperDefinition] =
    &[query_helper("quote", 1..=1, &[], quote), query_helper("printable", 1..=1, &[], printable)];

/// How a value is printed. Each printer is a helper whose name cannot be written in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::render) enum Printer {
    /// A value of unknown origin: it must be representable in the file's language.
    Checked,
    /// A value that the author trusts.
    Raw,
    /// A text that is a JSON value.
    Json,
    /// Server lines: their words are checked already, and there must be at least one.
    ServerLines,
    /// Any value, converted to JSON.
    ToJson,
    /// Prints nothing: fails because the value of a `with` without `else` is empty.
    RejectEmpty,
}

impl Printer {
    const ALL: [Self; 6] = [Self::Checked, Self::Raw, Self::Json, Self::ServerLines, Self::ToJson, Self::RejectEmpty];

    /// The name of the helper.
    pub(in crate::render) fn name(self) -> &'static str {
        match self {
            Self::Checked => " print",
            Self::Raw => " print raw",
            Self::Json => " print json",
            Self::ServerLines => " print lines",
            Self::ToJson => " print value",
            Self::RejectEmpty => " refuse empty",
        }
    }

    /// Whether a text is printed without a check. The path of a file is always checked, since a value must not lead to
    /// another directory.
    fn trusts_text(self, escape: Escape) -> bool {
        match self {
            Self::Raw => escape != Escape::Path,
            Self::Json => escape == Escape::Json,
            _ => false,
        }
    }
}

const NO_SERVERS_MESSAGE: &str = "`upstream` has no server, and nginx refuses an `upstream` block without servers: put the \
                                  block into {{#if (upstream …)}} … {{/if}}, and answer 503 otherwise";

pub(super) fn register<'a>(registry: &mut Handlebars<'a>, recorder: &'a QueryRecorder<'a>) {
    for printer in Printer::ALL {
        registry.register_helper(printer.name(), Box::new(PrintHelper { recorder, printer }));
    }
}

/// The text as one quoted string of the file's language, including the quotation delimiters.
fn quote(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let value = call.text(0)?;
    let quoted = recorder.escape.quote(&value);
    quoted.map(Value::String).map_err(|offence| format!("{} cannot be quoted: it holds {offence:?}", excerpt(&value)))
}

/// Whether the value can be printed in this file; false if it is missing.
fn printable(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    Ok(Value::Bool(match call.value(0) {
        Ok(Value::String(text)) => recorder.escape.rejection_reason(text).is_none(),
        Ok(Value::Number(_) | Value::Bool(_)) => true,
        Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => false,
    }))
}

struct PrintHelper<'a> {
    recorder: &'a QueryRecorder<'a>,
    printer: Printer,
}

impl HelperDef for PrintHelper<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let call = HelperCall(helper);
        let missing = helper.param(0).filter(|given| given.is_value_missing() && given.relative_path().is_none());
        if let (Some(_), Some(written)) = (missing, call.literal(1)) {
            return Err(RenderErrorReason::Other(missing_value_message(written)).into());
        }
        let value = call.value(0).map_err(RenderErrorReason::Other)?;
        let printed = match self.printer {
            Printer::RejectEmpty => Err(empty_message(value, call.literal(1))),
            Printer::ToJson => Ok(Value::String(value.to_string())),
            Printer::ServerLines if value == "" => Err(NO_SERVERS_MESSAGE.to_owned()),
            Printer::ServerLines => Ok(value.clone()),
            Printer::Checked | Printer::Raw | Printer::Json => self.print_value(value, &call, context, render),
        };
        printed.map(ScopedJson::Derived).map_err(|reason| RenderErrorReason::Other(reason).into())
    }
}

impl PrintHelper<'_> {
    fn print_value(
        &self,
        value: &Value,
        call: &HelperCall<'_, '_>,
        context: &Context,
        render: &RenderContext<'_, '_>,
    ) -> Result<Value, String> {
        let escape = self.recorder.escape;
        match value {
            Value::Array(_) => Err("a list cannot be printed: use {{#each …}} … {{/each}}".to_owned()),
            Value::Object(_) => Err("a record cannot be printed: name one of its fields".to_owned()),
            Value::Null if escape == Escape::Json => Ok(Value::String("null".to_owned())),
            Value::Null if call.origin(0) == ArgumentOrigin::Field => {
                Err(format!("there is no value `{}` here: it is null", call.literal(1).unwrap_or_default()))
            }
            Value::Number(number) => Ok(Value::String(format_number(number))),
            Value::String(text) if !self.printer.trusts_text(escape) => match escape.rejection_reason(text) {
                None => Ok(value.clone()),
                Some(refusal) => {
                    let field = call.literal(1).map(|field| format!(" of `{field}`")).unwrap_or_default();
                    Err(format!("the value {}{field}{} {refusal}", excerpt(text), owner_text(context, render)))
                }
            },
            other => Ok(other.clone()),
        }
    }
}

/// The error of a `with` whose value is empty. `written`: its expression.
fn empty_message(value: &Value, written: Option<&str>) -> String {
    let empty = match value {
        Value::String(_) => "an empty text",
        Value::Array(_) => "an empty list",
        Value::Object(_) => "an empty record",
        Value::Null => "null",
        Value::Bool(_) => "false",
        Value::Number(_) => "0",
    };
    let written = written.unwrap_or_default();
    format!("`{written}` is {empty} here: add {{{{else}}}}, or use {{{{#if}}}}")
}

/// The value as an error shows it: quoted, and at most 60 characters.
pub(super) fn excerpt(value: &str) -> String {
    let mut chars = value.chars();
    let start: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() { format!("{start:?}…") } else { format!("{start:?}") }
}

/// The instance, service or key that the value belongs to, if an enclosing block has one.
fn owner_text(context: &Context, render: &RenderContext<'_, '_>) -> String {
    let field = |path: String| render.evaluate(context, &path).ok()?.as_json().as_str().map(excerpt);
    let list = |path: String| render.evaluate(context, &path).is_ok_and(|found| found.as_json().is_array());
    let found = (0..4).map(|level| "../".repeat(level)).find_map(|up| {
        let at = |name: &str| field(format!("{up}{name}"));
        match (at("name"), at("id"), at("node")) {
            (Some(name), Some(id), Some(node)) => Some(format!(" (service {name}, instance {id} on node {node})")),
            (Some(name), ..) if list(format!("{up}tags")) => Some(format!(" (service {name})")),
            _ => at("path").filter(|_| at("value").is_some()).map(|path| format!(" (key {path})")),
        }
    });
    found.unwrap_or_default()
}
