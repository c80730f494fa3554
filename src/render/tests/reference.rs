//! The examples of the reference render to the results that it shows.

use super::*;

/// The fenced blocks of a page, each with its language.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let (mut blocks, mut open) = (Vec::new(), None);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, text))) => text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    blocks
}

/// The pages about templates.
const REFERENCE: [&str; 7] = [
    include_str!("../../../docs/reference/templates.md"),
    include_str!("../../../docs/reference/queries.md"),
    include_str!("../../../docs/reference/syntax.md"),
    include_str!("../../../docs/reference/helpers.md"),
    include_str!("../../../docs/reference/escaping.md"),
    include_str!("../../../docs/reference/multiple-files.md"),
    include_str!("../../../docs/reference/template-errors.md"),
];

/// An example of the reference: a template, its partials and settings, and its result.
#[derive(Default)]
struct ReferenceExample {
    partials: Vec<(String, String, String)>,
    /// A `[[target.template]]` table.
    settings: Option<target::TemplateSettings>,
    escape: Option<Escape>,
}

impl ReferenceExample {
    /// Takes a block. If it is a template, returns its result and the language of the block that shows it.
    fn block(&mut self, language: &str, text: &str) -> Option<(&'static str, String)> {
        match language.split_once(' ').unwrap_or((language, "")) {
            ("handlebars", partial) if partial.contains('.') => {
                let name = partial.trim_end_matches(".hbs").to_owned();
                self.partials.push((name, format!("partials/{partial}"), text.to_owned()));
                None
            }
            ("handlebars", language) => {
                self.escape = match language {
                    "" => None,
                    "haproxy" => Some(Escape::Haproxy),
                    "json" => Some(Escape::Json),
                    other => panic!("{other} is no language"),
                };
                Some(std::mem::take(self).result(text).unwrap_or_else(|error| ("error", format!("{error}\n"))))
            }
            ("toml", _) => {
                let table: toml::Table = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
                let template = table["target"].as_array().and_then(|targets| targets[0]["template"].get(0));
                self.settings = template.map(|template| template.clone().try_into().expect("it is a template's table"));
                None
            }
            // A shell command or a text that belongs to no template.
            ("sh" | "text", "") => None,
            other => panic!("{other:?} is no example"),
        }
    }

    fn result(self, text: &str) -> Result<(&'static str, String), TemplateError> {
        let partials = Partials::from_files(self.partials).unwrap_or_else(|error| panic!("{error:?}"));
        let escape = self.escape.unwrap_or(Escape::Nginx);
        let body = CompiledTemplate::compile_with_partials("example.hbs", text, escape, &partials)?;
        let Some(target::TemplateSettings { each: Some(each), destination, .. }) = self.settings else {
            return match TestRender::new().render_until_settled(&body).0.outcome {
                RenderOutcome::Text(text) => Ok(("text", text)),
                RenderOutcome::Failed(error) => Err(error),
                RenderOutcome::Missing(missing) => panic!("{text:?} waits for {missing:?}"),
            };
        };
        let list = CompiledTemplate::compile_expression("each", &each)?;
        let path = CompiledTemplate::compile("destination", destination.to_string_lossy(), Escape::Path)?;
        let output = OutputSpec::Each(Box::new(EachSpec { list, path }));
        let mut state = TemplateState::new(0, TemplateSpec { template: body, output });
        let mut test = TestRender::new();
        for _ in 0..20 {
            state.render(test.inputs());
            test.answers
                .extend(state.queries().map(|query| (query.clone(), Arc::new(answer(query)))).collect::<Vec<_>>());
        }
        let files = all_desired_files(std::slice::from_ref(&state));
        let files = files.unwrap_or_else(|| panic!("{:?}", state.unrendered("docs").collect::<Vec<_>>()));
        let file = |(path, desired): (PathBuf, Arc<target::DesiredFile>)| {
            format!("==> {} <==\n{}", path.display(), String::from_utf8_lossy(desired.content.bytes()))
        };
        Ok(("text", files.into_iter().map(file).collect()))
    }
}

#[test]
fn the_examples_of_the_reference_render_as_shown() {
    let (mut example, mut became, mut count) = (ReferenceExample::default(), None, 0);
    for (language, text) in REFERENCE.into_iter().flat_map(blocks).filter(|(language, _)| !language.is_empty()) {
        match became.take() {
            Some((template, became)) => {
                assert_eq!(became, (language, text), "{template}");
                count += 1;
            }
            None => became = example.block(language, &text).map(|became| (text, became)),
        }
    }
    assert!(became.is_none() && count > 20, "an example is a template and what it becomes");
}

#[test]
fn the_reference_has_every_helper() {
    let headings: Vec<_> = REFERENCE
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("### "))
        .flat_map(|line| line.split(", "))
        .collect();
    for helper in crate::render::helpers::all() {
        assert!(headings.contains(&helper.name), "{} is not documented", helper.name);
    }
}
