//! The binary with a Consul agent, and a temporary folder of templates and files.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use portreeve_lab::portreeve;
use tempfile::TempDir;

use crate::{common::black_box::Daemon, dev_agent::DevAgent, fixture};

/// An agent with the fixture's catalog, and a folder. The template `NAME` is rendered to `out/NAME`.
pub(crate) struct Harness {
    pub(crate) agent: DevAgent,
    folder: TempDir,
}

/// The exit code and the log of a run.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::beside(DevAgent::start().await).await
    }

    /// With an agent that the test has started.
    pub(crate) async fn beside(agent: DevAgent) -> Self {
        let harness = Self { agent, folder: TempDir::new().expect("a folder") };
        fixture::load(&harness.agent).await;
        fs::create_dir(harness.path("out")).expect("a new folder");
        harness
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it can be written");
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Writes a template. Returns the value of `--template` that renders it to `out/NAME`.
    pub(crate) fn template(&self, name: &str, text: &str) -> String {
        let source = format!("{name}.hbs");
        self.write(&source, text);
        format!("{}:{}", self.path(&source).display(), self.path("out").join(name).display())
    }

    /// The command `portreeve render ARGUMENTS`.
    pub(crate) fn render(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(portreeve::program());
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PORTREEVE_CONFIG", "/dev/null")
            .env("CONSUL_HTTP_ADDR", self.agent.address())
            .env("PATH", path);
        command.arg("render").arg("--state-dir").arg(self.path("state")).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn once(&self, arguments: &[&str]) -> Ended {
        let output = self.render(arguments).arg("--once").output().expect("it starts");
        Ended { code: output.status.code(), log: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Daemon {
        Daemon::spawn(self.render(arguments))
    }

    /// The rendered text of a template, or the log of the failure.
    pub(crate) fn outcome(&self, text: &str) -> Result<String, String> {
        let template = self.template("outcome", text);
        let ended = self.once(&["--template", &template, "--deadline", "3s"]);
        match (ended.code, self.read("out/outcome")) {
            (Some(0), Some(text)) => {
                fs::remove_file(self.path("out/outcome")).map(|()| text).map_err(|e| e.to_string())
            }
            (Some(0), None) => Err("nothing was written".to_owned()),
            (Some(1 | 2), None) => Err(ended.log),
            (code, text) => Err(format!("{code:?}, {text:?}: {}", ended.log)),
        }
    }
}
