//! The output of commands that need neither Consul nor Docker.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use super::{
    commands::{Command as Shown, commands, ours},
    page::{Block, Page},
    private_etc,
};

/// The blocks of a page before a session.
#[derive(Default)]
struct Context<'a> {
    /// A Compose file that no session has used yet.
    compose: Option<&'a Block>,
    configuration: Option<&'a Block>,
    template: Option<&'a Block>,
}

pub(crate) fn problems(page: &Page) -> Vec<(usize, String)> {
    let (mut problems, mut context) = (Vec::new(), Context::default());
    for block in &page.blocks {
        match (block.language(), block.title()) {
            ("yaml", "") => problems.extend(context.compose.replace(block).and_then(mistake)),
            ("toml", "") => context.configuration = Some(block),
            ("handlebars", "") => context.template = Some(block),
            ("console", _) => {
                let commands = commands(block).into_iter().flatten();
                problems.extend(commands.filter_map(|command| context.difference(&command)));
            }
            _ => {}
        }
    }
    problems.extend(context.compose.and_then(mistake));
    problems
}

/// The mistakes in a Compose file without a session. A session would show them.
fn mistake(block: &Block) -> Option<(usize, String)> {
    let output = lint("compose.yaml", &block.text);
    (!output.status.success()).then(|| (block.line, printed(&output)))
}

impl Context<'_> {
    fn difference(&mut self, command: &Shown) -> Option<(usize, String)> {
        let words: Vec<_> = ours(&command.words)?.iter().map(String::as_str).collect();
        let printed = match words[..] {
            ["portreeve", "lint", file] => printed(&lint(file, &self.compose.take()?.text)),
            ["portreeve", "check", ref flags @ ..] => {
                printed(&check(&self.configuration?.text, &self.template?.text, flags)?)
            }
            _ => return None,
        };
        (printed != command.output).then(|| (command.line, format!("it prints\n{printed}and not\n{}", command.output)))
    }
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn lint(name: &str, text: &str) -> Output {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join(name), text).expect("the test owns it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command.env_clear().env("PORTREEVE_CONFIG", "/dev/null").current_dir(directory.path());
    command.args(["lint", name]).output().expect("the program starts")
}

/// `None` unless the configuration has exactly one template.
fn check(configuration: &str, template: &str, flags: &[&str]) -> Option<Output> {
    let table: toml::Table = configuration.parse().ok()?;
    let [target] = &table.get("target")?.as_array()?[..] else { return None };
    let [settings] = &target.get("template")?.as_array()?[..] else { return None };
    let path = |key| Some(Path::new("/etc/portreeve").join(settings.get(key)?.as_str()?));
    let etc = TempDir::new().expect("a directory");
    let write = |path: &Path, text: &str| {
        let path = etc.path().join(path.strip_prefix("/etc").ok()?);
        fs::create_dir_all(path.parent()?).expect("the test owns it");
        fs::write(path, text).expect("the test owns it");
        Some(())
    };
    write(Path::new("/etc/portreeve/portreeve.toml"), configuration)?;
    write(&path("source")?, template)?;
    // The directory of the destination must exist.
    write(&path("destination")?.with_file_name(".portreeve"), "")?;
    // Not the state directory of this machine.
    let mut command = private_etc::portreeve(etc.path(), &[&["check", "--state-dir", "/etc/state"], flags].concat());
    command.current_dir(etc.path().join("portreeve"));
    Some(command.output().expect("the program starts"))
}
