//! The one way out: every `{{…}}` becomes a call of one of these two when a template is compiled.

use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use serde_json::Value;

use super::{Call, Definition, value};
use crate::render::recorder::Recorder;

pub(super) const ALL: &[Definition] = &[value("quote", 1..=1, &[], quote)];

/// Prints a value that keeps the limits of the file's language. No template can write this name.
pub(in crate::render) const PRINT: &str = " print";

/// Prints a value as it is.
pub(in crate::render) const PRINT_RAW: &str = " print raw";

pub(super) fn register<'pass>(registry: &mut Handlebars<'pass>, pass: &'pass Recorder<'pass>) {
    registry.register_helper(PRINT, Box::new(Print { pass, raw: false }));
    registry.register_helper(PRINT_RAW, Box::new(Print { pass, raw: true }));
}

/// One quoted text of the file's language, quotation marks included.
fn quote(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let value = call.text(0)?;
    let quoted = pass.escape.quote(&value);
    quoted.map(Value::String).map_err(|offence| format!("{} cannot be quoted: it holds {offence:?}", shown(&value)))
}

struct Print<'pass> {
    pass: &'pass Recorder<'pass>,
    raw: bool,
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
        let value = call.value(0).map_err(RenderErrorReason::Other)?;
        let refused = match value {
            Value::Array(_) => Some("a list cannot be printed: use {{#each …}} … {{/each}}".to_owned()),
            Value::Object(_) => Some("a record cannot be printed: name one of its fields".to_owned()),
            Value::String(text) if !self.raw => self.pass.escape.offence(text).map(|offence| {
                format!(
                    "the value {}{} holds {offence:?}, which has a meaning of its own in this file; {{{{quote …}}}} \
                     makes it one text, {{{{raw …}}}} trusts it",
                    shown(text),
                    whose(context, render),
                )
            }),
            _ => None,
        };
        match refused {
            Some(reason) => Err(RenderErrorReason::Other(reason).into()),
            None => Ok(ScopedJson::Derived(value.clone())),
        }
    }
}

/// The value as an error shows it: visible, and not a whole file.
pub(super) fn shown(value: &str) -> String {
    let mut chars = value.chars();
    let start: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() { format!("{start:?}…") } else { format!("{start:?}") }
}

/// The instance that the value belongs to, if there is one around.
fn whose(context: &Context, render: &RenderContext<'_, '_>) -> String {
    let field = |path: String| Some(render.evaluate(context, &path).ok()?.as_json().as_str()?.to_owned());
    let found = (0..4).map(|level| "../".repeat(level)).find_map(|up| {
        let [name, id, node] = ["name", "id", "node"].map(|name| field(format!("{up}{name}")));
        Some(format!(" of {}, instance {} on node {}", shown(&name?), shown(&id?), shown(&node?)))
    });
    found.unwrap_or_default()
}
