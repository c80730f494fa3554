//! Which partial includes which. Partials that include each other in a cycle would overflow the stack and abort the
//! process. So every inclusion is known by name when a template is compiled, and a cycle is an error.
//!
//! A name may stand for several bodies: a file of the directory, and every inline partial of that name in the files
//! that the template reaches, since one replaces the other at run time. All of them are searched, so that no
//! combination has a cycle.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use handlebars::template::{DecoratorTemplate, Parameter, TemplateElement};
use serde_json::Value;

use super::{
    Partials, TemplateError,
    ast::{self, Fault, Position},
    compiled_file::CompiledFile,
};

/// The inclusions of each partial, by name. The template itself has no name, so it cannot be included.
type Inclusions<'a> = BTreeMap<Option<String>, BTreeMap<String, IncludeLocation<'a>>>;

/// Where a partial is included.
#[derive(Clone, Copy)]
struct IncludeLocation<'a> {
    file: &'a CompiledFile,
    position: Position,
}

impl IncludeLocation<'_> {
    fn error(self, reason: String) -> TemplateError {
        self.file.error_at(self.position, reason)
    }
}

/// The content that the caller of a partial wrote between `{{#> name}}` and `{{/name}}`. It belongs to the caller.
const PARTIAL_BLOCK: &str = "@partial-block";

/// The partials that a template reaches, by name.
///
/// # Errors
/// A name is computed or unknown, or there is a cycle.
pub(super) fn resolve(
    template: &CompiledFile,
    partials: &Partials,
) -> Result<BTreeMap<String, Arc<CompiledFile>>, TemplateError> {
    let (inclusions, reached) = collect_reachable(template, None, partials)?;
    for (name, location) in inclusions.values().flatten() {
        if !inclusions.contains_key(&Some(name.clone())) {
            return Err(location.error(unknown_partial(name, *location, template, partials)));
        }
    }
    reject_cycles(&inclusions)?;
    Ok(reached)
}

/// Rejects cycles among the files of a directory, even if no template uses them. A name that no file has may be an inline
/// partial of a template.
pub(super) fn check_cycles(partials: &Partials) -> Result<(), TemplateError> {
    for (name, file) in partials.iter() {
        let (inclusions, _) = collect_reachable(file, Some(name), partials)?;
        reject_cycles(&inclusions)?;
    }
    Ok(())
}

/// The inclusions of `file` and of all files that it reaches, and these files by name.
fn collect_reachable<'a>(
    file: &'a CompiledFile,
    name: Option<&str>,
    partials: &'a Partials,
) -> Result<(Inclusions<'a>, BTreeMap<String, Arc<CompiledFile>>), TemplateError> {
    let (mut inclusions, mut reached) = (Inclusions::new(), BTreeMap::new());
    collect(file, name, &mut inclusions)?;
    let new = |inclusions: &Inclusions<'a>, reached: &BTreeMap<_, _>| {
        let mut names = inclusions.values().flat_map(BTreeMap::keys).filter(|name| !reached.contains_key(*name));
        names.find_map(|name| Some((name.clone(), partials.get(name)?)))
    };
    while let Some((name, file)) = new(&inclusions, &reached) {
        collect(file, Some(&name), &mut inclusions)?;
        reached.insert(name, Arc::clone(file));
    }
    Ok((inclusions, reached))
}

fn unknown_partial(name: &str, location: IncludeLocation<'_>, template: &CompiledFile, partials: &Partials) -> String {
    let from = if *location.file == *template { String::new() } else { format!(" for {}", template.name()) };
    let names: Vec<_> = partials.iter().map(|(name, _)| name).collect();
    let files = if names.is_empty() {
        "--partials names a directory of them".to_owned()
    } else {
        format!("the directory has {}", names.join(", "))
    };
    format!("there is no partial `{name}`{from}: {{{{#*inline \"{name}\"}}}} … {{{{/inline}}}} makes one, and {files}")
}

/// Adds the inclusions of a file. `name`: its name, if it is a partial. In a partial, `{{#> name}} … {{/name}}` is a slot
/// that the caller may leave empty.
fn collect<'a>(
    file: &'a CompiledFile,
    name: Option<&str>,
    inclusions: &mut Inclusions<'a>,
) -> Result<(), TemplateError> {
    inclusions.entry(name.map(str::to_owned)).or_default();
    let walked = ast::walk(file.template(), name, &mut |element, position, inside| match element {
        TemplateElement::DecoratorExpression(decorator) | TemplateElement::DecoratorBlock(decorator) => {
            let fault = |reason| (position, reason);
            let name = inline_name(decorator).ok_or_else(|| fault("a partial's name must be a text".to_owned()))?;
            if decorator.template.is_none() {
                return Err(fault(format!("a partial needs a body: {{{{#*inline \"{name}\"}}}} … {{{{/inline}}}}")));
            }
            inclusions.entry(Some(name.to_owned())).or_default();
            Ok(Some(name))
        }
        TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
            let included = partial_name(partial);
            let included = included.ok_or_else(|| (position, "a partial's name cannot be computed".to_owned()))?;
            if included != PARTIAL_BLOCK {
                let inclusion = inclusions.entry(inside.map(str::to_owned)).or_default();
                inclusion.entry(included.to_owned()).or_insert(IncludeLocation { file, position });
                if name.is_some() && partial.template.is_some() {
                    inclusions.entry(Some(included.to_owned())).or_default();
                }
            }
            Ok(inside)
        }
        _ => Ok(inside),
    });
    walked.map_err(|(position, reason): Fault| file.error_at(position, reason))
}

fn partial_name(partial: &DecoratorTemplate) -> Option<&str> {
    match &partial.name {
        Parameter::Literal(Value::String(name)) => Some(name),
        name => name.as_name(),
    }
}

fn inline_name(decorator: &DecoratorTemplate) -> Option<&str> {
    match decorator.params.first()? {
        Parameter::Literal(Value::String(name)) => Some(name),
        _ => None,
    }
}

fn reject_cycles(inclusions: &Inclusions<'_>) -> Result<(), TemplateError> {
    let mut done = BTreeSet::new();
    inclusions.keys().try_for_each(|name| find_cycle(name, inclusions, &mut Vec::new(), &mut done))
}

/// Searches for a cycle below `name`. `path` has the names that lead to it.
fn find_cycle(
    name: &Option<String>,
    inclusions: &Inclusions<'_>,
    path: &mut Vec<Option<String>>,
    done: &mut BTreeSet<Option<String>>,
) -> Result<(), TemplateError> {
    if done.contains(name) {
        return Ok(());
    }
    path.push(name.clone());
    for (next, location) in inclusions.get(name).into_iter().flatten() {
        let next = Some(next.clone());
        if let Some(start) = path.iter().position(|step| *step == next) {
            let cycle = path[start..].iter().chain([&next]).flatten().map(String::as_str);
            let cycle = cycle.collect::<Vec<_>>().join(" -> ");
            return Err(location.error(format!("partials include each other without end: {cycle}")));
        }
        find_cycle(&next, inclusions, path, done)?;
    }
    path.pop();
    done.insert(name.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{CompiledTemplate, Escape, PartialsError, RenderInputs, RenderOutcome};

    fn partials(files: &[(&str, &str)]) -> Result<Partials, PartialsError> {
        Partials::from_files(
            files.iter().map(|(name, text)| (name.to_string(), format!("p/{name}.hbs"), text.to_string())),
        )
    }

    fn template(text: &str, files: &[(&str, &str)]) -> Result<CompiledTemplate, TemplateError> {
        let partials = partials(files).unwrap_or_else(|error| panic!("{error:?}"));
        CompiledTemplate::compile_with_partials("t.hbs", text, Escape::Nginx, &partials)
    }

    fn outcome(text: &str, files: &[(&str, &str)]) -> RenderOutcome {
        let template = template(text, files).unwrap_or_else(|error| panic!("{error}"));
        let item = serde_json::json!({ "name": "web", "list": [1, 2], "bad": "a;b" });
        template.render(RenderInputs { answers: &BTreeMap::new(), env: &BTreeMap::new(), item: &item }).outcome
    }

    const LAYOUT: (&str, &str) =
        ("layout", "begin {{#> nav}}no nav{{/nav}} [{{> @partial-block}}] {{#> foot}}foot{{/foot}}");

    #[test]
    fn partials_and_layouts_are_files() {
        let server = ("nginx/server.v2", "server {{of}}{{#if port}}:{{port}}{{/if}};");
        let inner = ("outer", "<{{> nginx/server.v2 of=name port=81}}>");
        let cases = [
            ("{{> nginx/server.v2 of=name}}{{> nginx/server.v2 of=\"x\" port=80}}", "server web;server x:80;"),
            ("{{> outer}}", "<server web:81;>"),
            ("{{#each list}}{{> nginx/server.v2 of=this}}{{/each}}", "server 1;server 2;"),
            ("{{#> layout}}body of {{name}}{{/layout}}", "begin no nav [body of web] foot"),
            ("{{#> layout}}{{#*inline \"nav\"}}nav of {{name}}{{/inline}}x{{/layout}}", "begin nav of web [x] foot"),
            ("{{#*inline \"foot\"}}F{{/inline}}{{#> layout}}{{/layout}}", "begin no nav [] F"),
            ("{{#*inline \"outer\"}}mine{{/inline}}{{> outer}}", "mine"),
        ];
        for (text, expected) in cases {
            assert_eq!(outcome(text, &[server, inner, LAYOUT]), RenderOutcome::Text(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_error_points_into_the_file_that_it_is_in() {
        let inlines = ("inlines", "\n{{#*inline \"row\"}}\n  {{bad}}{{/inline}}{{> row}}");
        let files = [("a", "x\n y {{missing}}"), ("b", "{{> a}}"), inlines, ("wrap", "{{> @partial-block}}{{> slot}}")];
        let cases = [
            ("\n\n{{> b}}", "p/a.hbs:2:4: there is no value `missing` here"),
            ("{{> inlines}}", "p/inlines.hbs:3:3: the value \"a;b\" of `bad`"),
            (
                "{{#> wrap}}\n {{missing}}{{#*inline \"slot\"}}{{/inline}}{{/wrap}}",
                "t.hbs:2:2: there is no value `missing`",
            ),
            (
                "{{#> wrap}}\n{{#*inline \"slot\"}}\n{{missing}}{{/inline}}{{/wrap}}",
                "t.hbs:3:1: there is no value `missing`",
            ),
        ];
        for (text, expected) in cases {
            let RenderOutcome::Failed(error) = outcome(text, &files) else { panic!("{text} is rendered") };
            let error = error.to_string();
            assert!(error.starts_with(expected) && error.contains('^'), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_at_its_position() {
        let files = [("a", "x\n{{> nowhere}}"), ("c", "y"), LAYOUT];
        let cases = [
            ("{{> b}}", "t.hbs:1:1: there is no partial `b`"),
            ("{{> b}}", "the directory has a, c, layout"),
            ("\n{{> a}}", "p/a.hbs:2:1: there is no partial `nowhere` for t.hbs"),
            // Only a partial has slots: no caller could fill those of a template.
            ("{{#> layot}}x{{/layot}}", "there is no partial `layot`"),
        ];
        for (text, expected) in cases {
            let error = template(text, &files).expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains('^'), "{text}: {error}");
        }
        assert!(template("{{#*inline \"nowhere\"}}{{/inline}}{{> a}}", &files).is_ok(), "the template has it inline");
    }

    #[test]
    fn a_cycle_is_an_error_across_files_and_inline_partials() {
        let error = partials(&[("a", "{{> b}}"), ("b", "x\n{{#if y}}{{> a}}{{/if}}")]).expect_err("a cycle");
        let PartialsError::Invalid(error) = error else { panic!("{error}") };
        assert!(error.to_string().starts_with("p/b.hbs:2:10: partials include each other without end: a -> b -> a"));
        let files = [("a", "{{> slot}}"), LAYOUT];
        let cases = [
            ("{{#*inline \"slot\"}}{{> a}}{{/inline}}{{> a}}", "without end: a -> slot -> a"),
            (
                "{{#> layout}}{{#*inline \"nav\"}}{{#> layout}}{{/layout}}{{/inline}}{{/layout}}",
                "layout -> nav -> layout",
            ),
            ("{{#*inline \"layout\"}}{{> layout}}{{/inline}}{{> layout}}", "without end: layout -> layout"),
        ];
        for (text, expected) in cases {
            let error = template(text, &files).expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains('^'), "{text}: {error}");
        }
    }
}
