//! What a template can call: one table, one file for each family.
//!
//! A helper is a function from its arguments and the pass to a value. It prints nothing: whatever goes to the file goes
//! through [`print`].

mod address;
mod call;
mod list;
mod print;
mod query;

use std::ops::RangeInclusive;

pub(super) use call::Call;
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
pub(super) use print::{PRINT, PRINT_RAW};
use serde_json::Value;

use super::recorder::Recorder;

/// A helper's name, what it takes, and what it does.
pub(super) struct Definition {
    pub(super) name: &'static str,
    /// How many arguments it takes.
    pub(super) arguments: RangeInclusive<usize>,
    /// The `name=value` arguments that it takes.
    pub(super) options: &'static [&'static str],
    pub(super) form: Form,
    /// `None`: the engine brings it along.
    run: Option<Run>,
}

/// How a helper may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{{name …}}` or `(name …)`.
    Value,
    /// `{{#name …}} … {{/name}}`.
    Block,
    /// Either.
    Both,
}

type Run = fn(&Call<'_, '_>, &Recorder<'_>) -> Result<Value, String>;

const fn value(name: &'static str, arguments: RangeInclusive<usize>, options: Options, run: Run) -> Definition {
    Definition { name, arguments, options, form: Form::Value, run: Some(run) }
}

const fn built_in(name: &'static str, arguments: RangeInclusive<usize>, options: Options, form: Form) -> Definition {
    Definition { name, arguments, options, form, run: None }
}

type Options = &'static [&'static str];

const MANY: usize = usize::MAX;

/// Every helper there is, family by family.
pub(super) fn all() -> impl Iterator<Item = &'static Definition> {
    [query::ALL, list::ALL, address::ALL, print::ALL, BUILT_IN].into_iter().flatten()
}

/// What the engine brings along.
const BUILT_IN: &[Definition] = &[
    built_in("raw", 0..=1, &[], Form::Both),
    built_in("if", 1..=1, &["includeZero"], Form::Block),
    built_in("unless", 1..=1, &["includeZero"], Form::Block),
    built_in("each", 1..=1, &[], Form::Block),
    built_in("with", 1..=1, &[], Form::Block),
    built_in("lookup", 2..=2, &[], Form::Value),
    built_in("len", 1..=1, &[], Form::Value),
    built_in("log", 1..=MANY, &["level"], Form::Value),
    built_in("eq", 2..=2, &[], Form::Both),
    built_in("ne", 2..=2, &[], Form::Both),
    built_in("gt", 2..=2, &[], Form::Both),
    built_in("gte", 2..=2, &[], Form::Both),
    built_in("lt", 2..=2, &[], Form::Both),
    built_in("lte", 2..=2, &[], Form::Both),
    built_in("and", 1..=MANY, &[], Form::Both),
    built_in("or", 1..=MANY, &[], Form::Both),
    built_in("not", 1..=1, &[], Form::Both),
];

/// The helper of this name.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    all().find(|definition| definition.name == name)
}

/// Makes all helpers known to `registry`, for one pass.
pub(super) fn register<'pass>(registry: &mut Handlebars<'pass>, pass: &'pass Recorder<'pass>) {
    for definition in all() {
        if let Some(run) = definition.run {
            registry.register_helper(definition.name, Box::new(Function { run, pass }));
        }
    }
    print::register(registry, pass);
}

struct Function<'pass> {
    run: Run,
    pass: &'pass Recorder<'pass>,
}

impl HelperDef for Function<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        match (self.run)(&Call(helper), self.pass) {
            Ok(value) => Ok(ScopedJson::Derived(value)),
            Err(reason) => Err(RenderErrorReason::Other(format!("{}: {reason}", helper.name())).into()),
        }
    }
}
