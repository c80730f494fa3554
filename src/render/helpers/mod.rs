//! What a template can call: one table, one file for each family.
//!
//! A helper is a function from its arguments and the pass to a value. It prints nothing: whatever goes to the file goes
//! through [`print`].

mod address;
mod call;
mod env;
mod key;
mod list;
mod print;
mod service;
mod services;

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

/// Every helper there is.
pub(super) static ALL: &[Definition] = &[
    value("service", 0..=1, &["any", "dc", "name", "status", "tag"], service::service),
    value("services", 0..=1, &["dc"], services::services),
    value("key", 0..=1, &["dc", "path"], key::key),
    value("keyOr", 2..=2, &["dc"], key::key_or),
    value("env", 1..=1, &[], env::env),
    value("envOr", 2..=2, &[], env::env_or),
    value("where", 2..=MANY, &[], list::where_),
    value("hostPort", 2..=2, &[], address::host_port),
    value("quote", 1..=1, &[], print::quote),
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
    ALL.iter().find(|definition| definition.name == name)
}

/// Makes all helpers known to `registry`, for one pass.
pub(super) fn register<'pass>(registry: &mut Handlebars<'pass>, pass: &'pass Recorder<'pass>) {
    for definition in ALL {
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
