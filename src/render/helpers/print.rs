//! The one way out: every `{{…}}` becomes a call of one of these when a template is compiled. Each gets the value, and
//! how it was written.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use serde_json::Value;

use super::{Call, Definition, call::digits, no_value, value};
use crate::render::{Escape, recorder::Recorder};

pub(super) const ALL: &[Definition] = &[value("quote", 1..=1, &[], quote), value("printable", 1..=1, &[], printable)];

/// Prints a value that keeps the limits of the file's language. No template can write this name.
pub(in crate::render) const PRINT: &str = " print";

/// Prints a value as it is.
pub(in crate::render) const PRINT_RAW: &str = " print raw";

/// Prints what is a whole value of JSON: in a file of that language it needs no more.
pub(in crate::render) const PRINT_JSON: &str = " print json";

/// Prints server lines, whose words are checked already, and refuses to print none.
pub(in crate::render) const PRINT_LINES: &str = " print lines";

/// Prints nothing, but says that the value of a `with` without `else` is empty.
pub(in crate::render) const REFUSE_EMPTY: &str = " refuse empty";

/// Prints a value as JSON, whatever it is.
pub(in crate::render) const PRINT_VALUE: &str = " print value";

const NO_MEMBER: &str = "`upstream` has no member, and nginx refuses an `upstream` block without servers: put it into \
                         {{#if (upstream …)}} … {{/if}}, and answer 503 where it has none";

pub(super) fn register<'pass>(registry: &mut Handlebars<'pass>, pass: &'pass Recorder<'pass>) {
    let forms = [
        (PRINT, Form::Checked),
        (PRINT_RAW, Form::Raw),
        (PRINT_JSON, Form::Json),
        (PRINT_LINES, Form::Lines),
        (PRINT_VALUE, Form::Value),
        (REFUSE_EMPTY, Form::Empty),
    ];
    for (name, form) in forms {
        registry.register_helper(name, Box::new(Print { pass, form }));
    }
}

/// One quoted text of the file's language, quotation marks included.
fn quote(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let value = call.text(0)?;
    let quoted = pass.escape.quote(&value);
    quoted.map(Value::String).map_err(|offence| format!("{} cannot be quoted: it holds {offence:?}", shown(&value)))
}

/// Whether the value could be printed here. What is not there could not.
fn printable(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    Ok(Value::Bool(match call.value(0) {
        Ok(Value::String(text)) => pass.escape.refusal(text).is_none(),
        Ok(Value::Number(_) | Value::Bool(_)) => true,
        Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => false,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Checked,
    Raw,
    Json,
    Lines,
    Value,
    Empty,
}

struct Print<'pass> {
    pass: &'pass Recorder<'pass>,
    form: Form,
}

impl HelperDef for Print<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let call = Call(helper);
        let missing = helper.param(0).filter(|given| given.is_value_missing() && given.relative_path().is_none());
        if let (Some(_), Some(written)) = (missing, call.literal(1)) {
            return Err(RenderErrorReason::Other(no_value(written)).into());
        }
        let value = call.value(0).map_err(RenderErrorReason::Other)?;
        let escape = self.pass.escape;
        let checked = match self.form {
            Form::Empty => return Err(RenderErrorReason::Other(empty(value, call.literal(1))).into()),
            Form::Value => return Ok(ScopedJson::Derived(Value::String(value.to_string()))),
            Form::Lines if value == "" => return Err(RenderErrorReason::Other(NO_MEMBER.to_owned()).into()),
            Form::Lines => return Ok(ScopedJson::Derived(value.clone())),
            Form::Json => escape != Escape::Json,
            // A name of a file has no use for what is trusted: it must not lead elsewhere.
            Form::Raw => escape == Escape::Path,
            Form::Checked => true,
        };
        let of_data = helper.param(0).is_some_and(|param| param.relative_path().is_some());
        let refused = match value {
            Value::Array(_) => Some("a list cannot be printed: use {{#each …}} … {{/each}}".to_owned()),
            Value::Object(_) => Some("a record cannot be printed: name one of its fields".to_owned()),
            Value::Null if escape == Escape::Json => return Ok(ScopedJson::Derived(Value::String("null".to_owned()))),
            Value::Null if of_data => {
                Some(format!("there is no value `{}` here: it is null", call.literal(1).unwrap_or_default()))
            }
            Value::String(text) if checked => escape.refusal(text).map(|refusal| {
                let field = call.literal(1).map(|field| format!(" of `{field}`")).unwrap_or_default();
                format!("the value {}{field}{} {refusal}", shown(text), whose(context, render))
            }),
            _ => None,
        };
        match refused {
            Some(reason) => Err(RenderErrorReason::Other(reason).into()),
            None => Ok(ScopedJson::Derived(match value {
                Value::Number(number) => Value::String(digits(number)),
                value => value.clone(),
            })),
        }
    }
}

/// Why a `with` has nothing to go into. `written`: its value as it was written.
fn empty(value: &Value, written: Option<&str>) -> String {
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
pub(super) fn shown(value: &str) -> String {
    let mut chars = value.chars();
    let start: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() { format!("{start:?}…") } else { format!("{start:?}") }
}

/// What the value belongs to, if there is something around that has a name: an instance, a service, a key.
fn whose(context: &Context, render: &RenderContext<'_, '_>) -> String {
    let field = |path: String| render.evaluate(context, &path).ok()?.as_json().as_str().map(shown);
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
