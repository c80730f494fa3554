//! What a template can call: one table, one file for each family.
//!
//! A helper is a function from its arguments and the pass to a value. It prints nothing: whatever goes to the file goes
//! through [`print`].

mod address;
mod call;
mod choice;
mod date;
mod digest;
mod encoding;
#[cfg(test)]
mod fixture;
mod format;
mod group;
mod list;
mod logic;
mod math;
mod membership;
mod number;
mod parse;
mod pattern;
mod print;
mod query;
mod record;
mod remark;
mod select;
mod text;
mod tree;
mod upstream;
mod words;

use std::ops::RangeInclusive;

pub(super) use call::Call;
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
pub(super) use print::{PRINT, PRINT_JSON, PRINT_LINES, PRINT_RAW, PRINT_VALUE, REFUSE_EMPTY};
use serde_json::Value;

use super::{foreign, recorder::Recorder};

/// A helper's name, what it takes, and what it does.
pub(super) struct Definition {
    pub(super) name: &'static str,
    /// How many arguments it takes.
    pub(super) arguments: RangeInclusive<usize>,
    /// The `name=value` arguments that it takes.
    pub(super) options: Options,
    pub(super) form: Form,
    run: Run,
}

impl Definition {
    /// Whether it takes an argument `option=…`.
    pub(super) fn takes(&self, option: &str) -> bool {
        self.options == ANY || self.options.contains(&option)
    }
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

#[derive(Clone, Copy)]
enum Run {
    /// From its arguments alone.
    Pure(fn(&Call<'_, '_>) -> Result<Value, String>),
    /// From its arguments and what the pass knows.
    Asks(fn(&Call<'_, '_>, &Recorder<'_>) -> Result<Value, String>),
    /// The engine brings it along.
    BuiltIn,
}

const fn pure(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    options: Options,
    run: fn(&Call<'_, '_>) -> Result<Value, String>,
) -> Definition {
    Definition { name, arguments, options, form: Form::Value, run: Run::Pure(run) }
}

const fn value(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    options: Options,
    run: fn(&Call<'_, '_>, &Recorder<'_>) -> Result<Value, String>,
) -> Definition {
    Definition { name, arguments, options, form: Form::Value, run: Run::Asks(run) }
}

const fn built_in(name: &'static str, arguments: RangeInclusive<usize>, options: Options, form: Form) -> Definition {
    Definition { name, arguments, options, form, run: Run::BuiltIn }
}

type Options = &'static [&'static str];

/// Options of any name.
const ANY: Options = &["*"];

const MANY: usize = usize::MAX;

/// Every helper there is, family by family.
pub(super) fn all() -> impl Iterator<Item = &'static Definition> {
    let families = [
        query::ALL,
        upstream::ALL,
        choice::ALL,
        select::ALL,
        membership::ALL,
        remark::ALL,
        group::ALL,
        list::ALL,
        record::ALL,
        tree::ALL,
        text::ALL,
        words::ALL,
        pattern::ALL,
        math::ALL,
        date::ALL,
        encoding::ALL,
        digest::ALL,
        parse::ALL,
        format::ALL,
        address::ALL,
        print::ALL,
        BUILT_IN,
    ];
    families.into_iter().flatten()
}

/// What the engine brings along.
const BUILT_IN: &[Definition] = &[
    built_in("raw", 0..=1, &[], Form::Both),
    built_in("if", 1..=1, &["includeZero"], Form::Block),
    built_in("unless", 1..=1, &["includeZero"], Form::Block),
    built_in("each", 1..=1, &[], Form::Block),
    built_in("with", 1..=1, &[], Form::Block),
    built_in("lookup", 2..=2, &[], Form::Value),
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

/// The words for a name that has no value. A helper's own name without parentheses is one.
pub(super) fn no_value(name: &str) -> String {
    match find(name) {
        Some(helper) if helper.form == Form::Value && *helper.arguments.start() == 0 => {
            format!("there is no value `{name}` here; the helper stands in parentheses: ({name})")
        }
        _ => match foreign::value(name) {
            Some(here) => format!("there is no value `{name}` here; {here}"),
            None => format!("there is no value `{name}` here"),
        },
    }
}

/// The same for an argument: what looks like no field may be a text without its quotes.
fn no_argument(name: &str) -> String {
    let is_text = find(name).is_none() && foreign::value(name).is_none() && !name.contains(['.', '@']);
    let hint = if is_text { format!("; a text stands in quotes: \"{name}\"") } else { String::new() };
    no_value(name) + &hint
}

/// Makes all helpers known to `registry`, for one pass.
pub(super) fn register<'pass>(registry: &mut Handlebars<'pass>, pass: &'pass Recorder<'pass>) {
    for definition in all() {
        match definition.run {
            Run::BuiltIn => {}
            run => registry.register_helper(definition.name, Box::new(Function { run, pass })),
        }
    }
    // In the place of the engine's, which give true and false.
    logic::register(registry);
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
        let call = Call(helper);
        let value = match self.run {
            Run::Pure(run) => run(&call),
            Run::Asks(run) => run(&call, self.pass),
            Run::BuiltIn => Err("the engine brings it along".to_owned()),
        };
        match value {
            Ok(value) => Ok(ScopedJson::Derived(value)),
            Err(reason) => Err(RenderErrorReason::Other(format!("{}: {reason}", helper.name())).into()),
        }
    }
}
