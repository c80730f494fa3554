//! Templates. They are rendered with answers to all their queries.

use std::{collections::BTreeMap, fs, path::Path};

use portreeve::{
    core::condition::error_chain,
    fixture::{Fixture, FixtureFormat},
    render::{self, Setup, render_offline},
    target::{self, Escape},
};
use tempfile::TempDir;

use super::{
    answers::{VALUES, answer},
    page::{Block, Page},
};

/// The blocks of a page before a template that affect it.
#[derive(Default)]
struct Context {
    partials: BTreeMap<String, String>,
    fixture: Fixture,
    /// `each` and `destination` of the last configuration.
    each: Option<(String, String)>,
}

pub(crate) fn problems(page: &Page) -> Vec<(usize, String)> {
    let (mut context, mut problems) = (Context::default(), Vec::new());
    for (at, block) in page.blocks.iter().enumerate() {
        match (block.language(), block.title()) {
            ("handlebars", name) if name.contains('.') => {
                context.partials.insert(name.to_owned(), block.text.clone());
            }
            ("handlebars", language) => {
                let next = page.blocks[at + 1..].iter().find(|block| !block.info.is_empty());
                if next.is_none_or(|block| block.language() != "error") {
                    problems.extend(context.render(&block.text, language).err().map(|error| (block.line, error)));
                }
                context.each = None;
            }
            ("yaml", "fixture.yaml") => match Fixture::parse(&block.text, FixtureFormat::Yaml) {
                Ok(fixture) => context.fixture = fixture,
                Err(error) => problems.push((block.line, error)),
            },
            ("toml", "") => context.each = each(block),
            _ => {}
        }
    }
    problems
}

/// `each` and `destination` of the first template.
fn each(block: &Block) -> Option<(String, String)> {
    let table: toml::Table = block.text.parse().ok()?;
    let template = table.get("target")?.get(0)?.get("template")?.get(0)?;
    let text = |key| Some(template.get(key)?.as_str()?.to_owned());
    Some((text("each")?, text("destination")?))
}

impl Context {
    /// Renders with each of [`answers::VALUES`] until one succeeds: some templates need a number, some need JSON.
    fn render(&self, text: &str, language: &str) -> Result<(), String> {
        let escape = match language {
            "" => Escape::Nginx,
            "haproxy" => Escape::Haproxy,
            "json" => Escape::Json,
            other => return Err(format!("{other} is no language")),
        };
        let mut results = VALUES.iter().map(|value| self.render_with(text, escape, value));
        let first = results.next().expect("there are values");
        first.or_else(|error| if results.any(|result| result.is_ok()) { Ok(()) } else { Err(error) })
    }

    fn render_with(&self, text: &str, escape: Escape, value: &str) -> Result<(), String> {
        let directory = TempDir::new().expect("a directory");
        let write = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().expect("it is below")).expect("the test owns it");
            fs::write(path, text).expect("the test owns it");
        };
        let (source, partials) = (directory.path().join("example.hbs"), directory.path().join("partials"));
        write(&source, text);
        fs::create_dir_all(&partials).expect("the test owns it");
        self.partials.iter().for_each(|(name, text)| write(&partials.join(name), text));
        let (each, destination) = self.each.clone().unzip();
        let destination = destination.as_deref().unwrap_or("out").trim_start_matches('/');
        let template = target::TemplateSettings {
            source,
            destination: directory.path().join(destination),
            each,
            escape: Some(escape),
            ..target::TemplateSettings::default()
        };
        let kind = target::TargetKind::Command(target::CommandSettings::default());
        let mut settings = render::Settings {
            targets: vec![target::Settings::new("t".to_owned(), kind, vec![template])],
            ..render::Settings::default()
        };
        settings.section.partials = Some(partials);
        settings.section.state_dir = Some(directory.path().join("state"));
        let mut setup = Setup::open_read_only(settings).map_err(|error| error_chain(&error))?;
        let env = [("ZONE", "eu")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let rendered = render_offline(&mut setup, env.into(), |query| Some(answer(&self.fixture, query, value)));
        match &rendered.unrendered[..] {
            [] => Ok(()),
            open => Err(open.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }
}
