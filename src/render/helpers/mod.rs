//! The helpers that a template can call: one table, one file for each family.
//!
//! A helper computes a value from its arguments; some helpers also use the recorder. Helpers print nothing themselves:
//! all output of a template goes through [`print`].
//!
//! ```text
//! {{helper arguments}} --> HelperCall --> value --> Printer: checked for the file's language --> file
//!                              '--> QueryRecorder: queries, upstreams, warnings
//! ```

mod address;
mod call;
mod choice;
mod date;
mod dict;
mod digest;
mod encoding;
mod format;
mod group;
mod list;
mod logic;
mod math;
mod membership;
mod nested;
mod number;
mod parse;
mod pattern;
mod print;
mod query;
mod select;
mod split_join;
#[cfg(test)]
mod test_support;
mod text;
mod upstream;
mod warning;

use std::ops::RangeInclusive;

pub(super) use call::HelperCall;
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
pub(super) use print::Printer;
use serde_json::Value;

use super::{go_template_hints, recorder::QueryRecorder};

/// A helper: its name, parameters and function.
pub(super) struct HelperDefinition {
    pub(super) name: &'static str,
    /// The allowed number of positional arguments.
    pub(super) arguments: RangeInclusive<usize>,
    /// The allowed `name=value` arguments.
    options: OptionNames,
    pub(super) form: CallForm,
    run: HelperFunction,
}

impl HelperDefinition {
    /// Whether it accepts the argument `option=…`.
    pub(super) fn takes(&self, option: &str) -> bool {
        self.options == ANY_OPTION || self.option_names().contains(&option)
    }

    /// The names of all options, sorted.
    pub(super) fn option_names(&self) -> Vec<&'static str> {
        let mut names = self.options.concat();
        names.sort_unstable();
        names
    }
}

/// How a helper may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallForm {
    /// `{{name …}}` or `(name …)`.
    Value,
    /// `{{#name …}} … {{/name}}`.
    Block,
    /// Either.
    Both,
}

#[derive(Clone, Copy)]
enum HelperFunction {
    /// Depends on its arguments alone.
    Pure(fn(&HelperCall<'_, '_>) -> Result<Value, String>),
    /// Uses the recorder as well.
    WithQueries(fn(&HelperCall<'_, '_>, &QueryRecorder<'_>) -> Result<Value, String>),
    /// Implemented by the Handlebars engine.
    BuiltIn,
}

const fn pure_helper(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    options: OptionNames,
    run: fn(&HelperCall<'_, '_>) -> Result<Value, String>,
) -> HelperDefinition {
    HelperDefinition { name, arguments, options, form: CallForm::Value, run: HelperFunction::Pure(run) }
}

const fn query_helper(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    options: OptionNames,
    run: fn(&HelperCall<'_, '_>, &QueryRecorder<'_>) -> Result<Value, String>,
) -> HelperDefinition {
    HelperDefinition { name, arguments, options, form: CallForm::Value, run: HelperFunction::WithQueries(run) }
}

const fn built_in(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    options: OptionNames,
    form: CallForm,
) -> HelperDefinition {
    HelperDefinition { name, arguments, options, form, run: HelperFunction::BuiltIn }
}

/// Groups of options; helpers share some groups.
type OptionNames = &'static [&'static [&'static str]];

/// Any option is allowed.
const ANY_OPTION: OptionNames = &[&["*"]];

const UNLIMITED: usize = usize::MAX;

/// All helpers, family by family.
pub(super) fn all() -> impl Iterator<Item = &'static HelperDefinition> {
    let families = [
        query::ALL,
        upstream::ALL,
        choice::ALL,
        select::ALL,
        membership::ALL,
        warning::ALL,
        group::ALL,
        list::ALL,
        dict::ALL,
        nested::ALL,
        text::ALL,
        split_join::ALL,
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

/// The helpers of the Handlebars engine, and those that replace them.
const BUILT_IN: &[HelperDefinition] = &[
    built_in("raw", 0..=1, &[], CallForm::Both),
    built_in("if", 1..=1, &[&["includeZero"]], CallForm::Block),
    built_in("unless", 1..=1, &[&["includeZero"]], CallForm::Block),
    built_in("each", 1..=1, &[], CallForm::Block),
    built_in("with", 1..=1, &[], CallForm::Block),
    built_in("lookup", 2..=2, &[], CallForm::Value),
    built_in("log", 1..=UNLIMITED, &[&["level"]], CallForm::Value),
    built_in("eq", 2..=2, &[], CallForm::Both),
    built_in("ne", 2..=2, &[], CallForm::Both),
    built_in("gt", 2..=2, &[], CallForm::Both),
    built_in("gte", 2..=2, &[], CallForm::Both),
    built_in("lt", 2..=2, &[], CallForm::Both),
    built_in("lte", 2..=2, &[], CallForm::Both),
    built_in("and", 1..=UNLIMITED, &[], CallForm::Both),
    built_in("or", 1..=UNLIMITED, &[], CallForm::Both),
    built_in("not", 1..=1, &[], CallForm::Both),
];

/// The helper of this name.
pub(super) fn find(name: &str) -> Option<&'static HelperDefinition> {
    all().find(|definition| definition.name == name)
}

/// The error for a name without a value, which may be a helper without its parentheses.
pub(super) fn missing_value_message(name: &str) -> String {
    match find(name) {
        Some(helper) if helper.form == CallForm::Value && *helper.arguments.start() == 0 => {
            format!("there is no value `{name}` here; put the helper in parentheses: ({name})")
        }
        _ => match go_template_hints::name_hint(name) {
            Some(here) => format!("there is no value `{name}` here; {here}"),
            None => format!("there is no value `{name}` here"),
        },
    }
}

/// As [`missing_value_message`], for an argument, which may also be a text whose quotes are missing.
fn missing_argument_message(name: &str) -> String {
    let is_text = find(name).is_none() && go_template_hints::name_hint(name).is_none() && !name.contains(['.', '@']);
    let hint = if is_text { format!("; put a text in quotes: \"{name}\"") } else { String::new() };
    missing_value_message(name) + &hint
}

/// Registers all helpers for one render.
pub(super) fn register<'a>(registry: &mut Handlebars<'a>, recorder: &'a QueryRecorder<'a>) {
    for definition in all() {
        match definition.run {
            HelperFunction::BuiltIn => {}
            run => registry.register_helper(definition.name, Box::new(FunctionHelper { run, recorder })),
        }
    }
    // Replaces the engine's `and` and `or`, which return booleans.
    logic::register(registry);
    print::register(registry, recorder);
}

struct FunctionHelper<'a> {
    run: HelperFunction,
    recorder: &'a QueryRecorder<'a>,
}

impl HelperDef for FunctionHelper<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let call = HelperCall(helper);
        let value = match self.run {
            HelperFunction::Pure(run) => run(&call),
            HelperFunction::WithQueries(run) => run(&call, self.recorder),
            HelperFunction::BuiltIn => Err("it is implemented by the engine".to_owned()),
        };
        match value {
            Ok(value) => Ok(ScopedJson::Derived(value)),
            Err(reason) => Err(RenderErrorReason::Other(format!("{}: {reason}", helper.name())).into()),
        }
    }
}
