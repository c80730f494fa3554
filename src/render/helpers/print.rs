//! The one way out: every `{{…}}` becomes a call of one of these when a template is compiled. Each gets the value, and
//! how it was written.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use serde_json::Value;

use super::{HelperCall, HelperDefinition, call::format_number, missing_value_message, query_helper};
use crate::render::{Escape, recorder::QueryRecorder};

pub(super) const ALL: &[HelperDefinition] =
    &[query_helper("quote", 1..=1, &[], quote), query_helper("printable", 1..=1, &[], printable)];

/// Prints a value that keeps the limits of the file's language. No template can write this name.
pub(in crate::render) const PRINT: &str = " print";

/// Prints a value as it is.
pub(in crate::render) const PRINT_RAW: &str = " print raw";

/// Prints what is a whole value of JSON: in a file of that language it needs no more.
pub(in crate::render) const PRINT_JSON: &str = " print json";

/// Prints server lines, whose words are checked already, and refuses to print none.
pub(in crate::render) const PRINT_LINES: &str = " print lines";

/// Prints nothing, but says that the value of a `with` without `else` is empty.
pub(in crate::render) const REJECT_EMPTY: &str = " refuse empty";

/// Prints a value as JSON, whatever it is.
pub(in crate::render) const PRINT_AS_JSON: &str = " print value";

const NO_MEMBERS_MESSAGE: &str = "`upstream` has no member, and nginx refuses an `upstream` block without servers: put it into \
                         {{#if (upstream …)}} … {{/if}}, and answer 503 where it has none";

pub(super) fn register<'pass>(registry: &mut Handlebars<'pass>, pass: &'pass QueryRecorder<'pass>) {
    let forms = [
        (PRINT, PrintMode::Checked),
        (PRINT_RAW, PrintMode::Raw),
        (PRINT_JSON, PrintMode::Json),
        (PRINT_LINES, PrintMode::Lines),
        (PRINT_AS_JSON, PrintMode::Value),
        (REJECT_EMPTY, PrintMode::Empty),
    ];
    for (name, form) in forms {
        registry.register_helper(name, Box::new(PrintHelper { recorder: pass, form }));
    }
}

/// One quoted text of the file's language, quotation marks included.
fn quote(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let value = call.text(0)?;
    let quoted = pass.escape.quote(&value);
    quoted.map(Value::String).map_err(|offence| format!("{} cannot be quoted: it holds {offence:?}", excerpt(&value)))
}

/// Whether the value could be printed here. What is not there could not.
fn printable(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    Ok(Value::Bool(match call.value(0) {
        Ok(Value::String(text)) => pass.escape.rejection_reason(text).is_none(),
        Ok(Value::Number(_) | Value::Bool(_)) => true,
        Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => false,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PrintMode {
    Checked,
    Raw,
    Json,
    Lines,
    Value,
    Empty,
}

struct PrintHelper<'pass> {
    recorder: &'pass QueryRecorder<'pass>,
    form: PrintMode,
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
        let escape = self.recorder.escape;
        let checked = match self.form {
            PrintMode::Empty => return Err(RenderErrorReason::Other(empty_message(value, call.literal(1))).into()),
            PrintMode::Value => return Ok(ScopedJson::Derived(Value::String(value.to_string()))),
            PrintMode::Lines if value == "" => {
                return Err(RenderErrorReason::Other(NO_MEMBERS_MESSAGE.to_owned()).into());
            }
            PrintMode::Lines => return Ok(ScopedJson::Derived(value.clone())),
            PrintMode::Json => escape != Escape::Json,
            // A name of a file has no use for what is trusted: it must not lead elsewhere.
            PrintMode::Raw => escape == Escape::Path,
            PrintMode::Checked => true,
        };
        let of_data = helper.param(0).is_some_and(|param| param.relative_path().is_some());
        let refused = match value {
            Value::Array(_) => Some("a list cannot be printed: use {{#each …}} … {{/each}}".to_owned()),
            Value::Object(_) => Some("a record cannot be printed: name one of its fields".to_owned()),
            Value::Null if escape == Escape::Json => return Ok(ScopedJson::Derived(Value::String("null".to_owned()))),
            Value::Null if of_data => {
                Some(format!("there is no value `{}` here: it is null", call.literal(1).unwrap_or_default()))
            }
            Value::String(text) if checked => escape.rejection_reason(text).map(|refusal| {
                let field = call.literal(1).map(|field| format!(" of `{field}`")).unwrap_or_default();
                format!("the value {}{field}{} {refusal}", excerpt(text), owner_text(context, render))
            }),
            _ => None,
        };
        match refused {
            Some(reason) => Err(RenderErrorReason::Other(reason).into()),
            None => Ok(ScopedJson::Derived(match value {
                Value::Number(number) => Value::String(format_number(number)),
                value => value.clone(),
            })),
        }
    }
}

/// Why a `with` has nothing to go into. `written`: its value as it was written.
fn empty_message(value: &Value, written: Option<&str>) -> String {
    let empty = match value {
        Value::String(_) => "an empty text",
        Value::Array(_) => "an empty list",
        Value::Object(_) => "an empty record",
        Value::Null => "nothing",
        Value::Bool(_) => "false",
        Value::Number(_) => "0",
    };
    let written = written.unwrap_or_default();
    format!("`{written}` is {empty} here: {{{{else}}}} says what is printed then, and {{{{#if}}}} does without")
}

/// The value as an error shows it: visible, and not a whole file.
pub(super) fn excerpt(value: &str) -> String {
    let mut chars = value.chars();
    let start: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() { format!("{start:?}…") } else { format!("{start:?}") }
}

/// What the value belongs to, if there is something around that has a name: an instance, a service, a key.
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
