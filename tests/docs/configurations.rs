//! Configuration files.

use std::{collections::BTreeMap, fs, path::Path};

use clap::Parser;
use portreeve::{
    cli::{Cli, CliCommand},
    config::{Config, ConfigFile},
    core::condition::error_chain,
    render,
};
use tempfile::TempDir;

use super::page::Page;

/// The directory of the files that a configuration names.
const DIRECTORY: &str = "/etc/portreeve";

pub(crate) fn problems(page: &Page) -> Vec<(usize, String)> {
    let blocks = page.blocks.iter().filter(|block| block.language() == "toml");
    let problem = |title: &str, text: &str| match title {
        "" | "portreeve.toml" => load(text).err(),
        _ => text.parse::<toml::Table>().err().map(|error| error.to_string()),
    };
    blocks.filter_map(|block| Some((block.line, problem(block.title(), &block.text)?))).collect()
}

/// Loads a configuration with placeholders for the files that it names.
fn load(text: &str) -> Result<(), String> {
    let directory = TempDir::new().expect("a directory");
    let place = directory.path().display().to_string();
    let file = directory.path().join("portreeve.toml");
    fs::write(&file, text.replace(DIRECTORY, &place)).expect("the test owns it");
    let mut config = Config::load(&ConfigFile::Given(file), std::iter::empty())
        .map_err(|error| error_chain(&error).replace(&place, DIRECTORY))?;
    let CliCommand::Register(flags) = Cli::parse_from(["portreeve", "register"]).command else {
        unreachable!("that is it")
    };
    config.clone().with_register(*flags).map_err(|error| error_chain(&error))?;
    config.consul.validate().map_err(|error| error_chain(&error))?;
    config
        .exec
        .clone()
        .into_settings(config.target.iter().map(|target| &target.name))
        .map_err(|error| error_chain(&error))?;
    if config.target.is_empty() {
        return Ok(());
    }
    for template in config.target.iter_mut().flat_map(|target| &mut target.templates) {
        stand_in(directory.path(), &template.source)?;
        // They may not exist on this host.
        (template.user, template.group) = (None, None);
    }
    for folder in [&config.render.partials, &config.render.files].into_iter().flatten() {
        if folder.starts_with(directory.path()) {
            fs::create_dir_all(folder).expect("the test owns it");
        }
    }
    let mut settings = render::Settings::from(config);
    settings.section.state_dir = Some(directory.path().join("state"));
    match &render::check(&settings, &BTreeMap::new()).errors[..] {
        [] => Ok(()),
        errors => Err(errors.join("\n").replace(&place, DIRECTORY)),
    }
}

fn stand_in(directory: &Path, source: &Path) -> Result<(), String> {
    if !source.starts_with(directory) {
        return Err(format!("{}: the templates of an example lie in {DIRECTORY}", source.display()));
    }
    fs::create_dir_all(source.parent().unwrap_or(directory)).expect("the test owns it");
    fs::write(source, "text\n").expect("the test owns it");
    Ok(())
}
