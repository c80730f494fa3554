//! What a user says about a target: the `[[target]]` tables of the configuration file.
//!
//! ```toml
//! [[target]]
//! name = "edge"
//! kind = "nginx"
//! reload_timeout = "10s"
//!
//! [[target.template]]
//! source = "edge.conf.hbs"
//! destination = "/etc/nginx/conf.d/edge.conf"
//! ```

use std::{collections::BTreeSet, fmt, path::PathBuf, str::FromStr, time::Duration};

use nix::sys::signal::Signal;
use serde::{Deserialize, Deserializer, de};

use super::run::CANDIDATE;

/// One group of files that are checked together, swapped together and made effective by one reload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Settings {
    /// Unique; names the target in logs, and its folder in the state directory. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How files are checked and made effective; the key `kind`.
    pub kind: Kind,
    /// The files; the tables `[[target.template]]`.
    pub templates: Vec<Template>,
}

/// How a target's files are checked and made effective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An nginx on this host.
    Nginx(Nginx),
    /// Anything else: a check and a reload that the user names.
    Command(Command),
}

/// An nginx on this host: `nginx -t` on a staged copy, `SIGHUP` to the master, proof by its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nginx {
    /// The program, by path or by name on PATH. Default `nginx`.
    pub binary: PathBuf,
    /// The main configuration file that the running master was started with (`-c`). Default: the one that the program
    /// was built with (`nginx -V`).
    pub conf: Option<PathBuf>,
    /// The prefix that the running master was started with (`-p`). Default: the one that the program was built with.
    pub prefix: Option<PathBuf>,
    /// Where the master wrote its pid. Default: the `pid` directive of `conf`, or the one that the program was built with.
    pub pid_file: Option<PathBuf>,
    /// How long `nginx -t` may take. Default 30 s.
    pub check_timeout: Duration,
    /// How long it may take until new workers have taken over after a reload. Default 30 s.
    pub reload_timeout: Duration,
}

/// A check and a reload that the user names. Arguments are a list: no shell is involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Run before any file is touched; exit code 0 means good. `{{candidate}}` in an argument stands for a copy of the
    /// candidate: with one template a file of the destination's name, with several a directory in which each lies under
    /// its whole path (`{{candidate}}/etc/app/a.conf`). Default: no check.
    pub check: Option<Vec<String>>,
    /// How the files become effective. Default: nothing is done.
    pub reload: Option<Reload>,
    /// How long `check` may take. Default 30 s.
    pub check_timeout: Duration,
    /// How long `reload` may take. Default 30 s.
    pub reload_timeout: Duration,
}

/// How a [`Command`] target's files become effective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// A program and its arguments, the key `reload`; exit code 0 means that it took.
    Command(Vec<String>),
    /// A signal to the process whose pid stands in a file.
    Signal {
        /// Where the process wrote its pid; the key `pid_file`.
        pid_file: PathBuf,
        /// The key `signal`: `SIGHUP` and the like. Default `SIGHUP`.
        signal: Signal,
        /// The name that the process must have (`/proc/PID/comm`); the key `program`. Default: any, so a stale pid file
        /// can hit a stranger.
        program: Option<String>,
    },
}

/// One template and the file that it becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The Handlebars file.
    pub source: PathBuf,
    /// The file that is written. Its directory must exist. A symlink is written through.
    pub destination: PathBuf,
    /// Permission bits, in octal (`"0644"`). Default: those of the file that is replaced, else `0644`.
    #[serde(default, deserialize_with = "octal")]
    pub mode: Option<u32>,
    /// Owner, by name or number. Default: that of the file that is replaced, else ours.
    pub user: Option<String>,
    /// Group, by name or number. Default: that of the file that is replaced, else ours.
    pub group: Option<String>,
    /// The language whose limits a printed value has to keep: `nginx`, or `none`. Default: that of the target's kind.
    pub escape: Option<Escape>,
}

/// The language that a file is written in, as far as we know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// nginx's configuration.
    Nginx,
    /// Any other: values are printed as they are.
    None,
}

impl Kind {
    /// The language of its files, unless a template says otherwise.
    pub fn escape(&self) -> Escape {
        match self {
            Self::Nginx(_) => Escape::Nginx,
            Self::Command(_) => Escape::None,
        }
    }
}

impl Default for Nginx {
    fn default() -> Self {
        Self {
            binary: "nginx".into(),
            conf: None,
            prefix: None,
            pid_file: None,
            check_timeout: TIMEOUT,
            reload_timeout: TIMEOUT,
        }
    }
}

impl Default for Command {
    fn default() -> Self {
        Self { check: None, reload: None, check_timeout: TIMEOUT, reload_timeout: TIMEOUT }
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// A `[[target]]` table as it is written: the keys of all kinds side by side.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    kind: KindName,
    #[serde(default, rename = "template")]
    templates: Vec<Template>,
    #[serde(default, with = "humantime_serde")]
    check_timeout: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    reload_timeout: Option<Duration>,
    pid_file: Option<PathBuf>,
    binary: Option<PathBuf>,
    conf: Option<PathBuf>,
    prefix: Option<PathBuf>,
    check: Option<Vec<String>>,
    reload: Option<Vec<String>>,
    signal: Option<String>,
    program: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    Nginx,
    Command,
}

/// What is wrong with a table although each of its keys is well formed. Names the key.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The name would not do as a folder's.
    #[error("`name`: {0:?} has to be made of letters, digits, `-`, `_` and `.`, and not to begin with a dot")]
    Name(String),
    /// A target without files has no use.
    #[error("target {0}: `template`: there has to be at least one [[target.template]]")]
    NoTemplate(String),
    /// Two templates would overwrite each other.
    #[error("target {name}: `destination`: {} is written by two templates", destination.display())]
    Twice {
        /// The target.
        name: String,
        /// The file.
        destination: PathBuf,
    },
    /// The key means nothing here.
    #[error("target {name}: `{key}` is not for kind = \"{kind}\"")]
    NotForKind {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// The target's kind.
        kind: &'static str,
    },
    /// Two ways of reloading, or half of one.
    #[error("target {name}: `{key}` {reason}")]
    Reload {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
        /// What is the matter with it.
        reason: &'static str,
    },
    /// A command without a program.
    #[error("target {name}: `{key}`: the first element has to be a program")]
    Empty {
        /// The target.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// The check would not see what it is to check.
    #[error("target {0}: `check`: no argument has {CANDIDATE} in it, so the candidate would not be looked at")]
    Blind(String),
    /// There is no such signal.
    #[error("target {name}: `signal`: {signal:?} is not a signal's name such as \"SIGHUP\"")]
    Signal {
        /// The target.
        name: String,
        /// What was given.
        signal: String,
    },
}

impl TryFrom<Table> for Settings {
    type Error = SettingsError;

    fn try_from(mut table: Table) -> Result<Self, SettingsError> {
        let templates = std::mem::take(&mut table.templates);
        let settings = Self { name: table.name.clone(), kind: table.into_kind()?, templates };
        settings.validate()?;
        Ok(settings)
    }
}

impl Settings {
    /// What the types cannot say. Settings that come from a file have passed it.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.bytes().all(plain) {
            return Err(SettingsError::Name(self.name.clone()));
        }
        if self.templates.is_empty() {
            return Err(SettingsError::NoTemplate(self.name.clone()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.templates.iter().find(|template| !seen.insert(&template.destination)) {
            let destination = twice.destination.clone();
            return Err(SettingsError::Twice { name: self.name.clone(), destination });
        }
        if let Kind::Command(command) = &self.kind {
            let reload = command.reload.as_ref().and_then(|reload| match reload {
                Reload::Command(argv) => Some(argv),
                Reload::Signal { .. } => None,
            });
            for (key, argv) in [("check", command.check.as_ref()), ("reload", reload)] {
                if argv.is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
                    return Err(SettingsError::Empty { name: self.name.clone(), key });
                }
            }
            if command.check.as_ref().is_some_and(|argv| !argv.iter().any(|word| word.contains(CANDIDATE))) {
                return Err(SettingsError::Blind(self.name.clone()));
            }
        }
        Ok(())
    }
}

impl Table {
    fn into_kind(self) -> Result<Kind, SettingsError> {
        match self.kind {
            KindName::Nginx => {
                let foreign = [
                    ("check", self.check.is_some()),
                    ("reload", self.reload.is_some()),
                    ("signal", self.signal.is_some()),
                    ("program", self.program.is_some()),
                ];
                self.refuse("nginx", &foreign)?;
                Ok(Kind::Nginx(Nginx {
                    binary: self.binary.unwrap_or_else(|| Nginx::default().binary),
                    conf: self.conf,
                    prefix: self.prefix,
                    pid_file: self.pid_file,
                    check_timeout: self.check_timeout.unwrap_or(TIMEOUT),
                    reload_timeout: self.reload_timeout.unwrap_or(TIMEOUT),
                }))
            }
            KindName::Command => {
                let foreign = [
                    ("binary", self.binary.is_some()),
                    ("conf", self.conf.is_some()),
                    ("prefix", self.prefix.is_some()),
                ];
                self.refuse("command", &foreign)?;
                Ok(Kind::Command(Command {
                    check_timeout: self.check_timeout.unwrap_or(TIMEOUT),
                    reload_timeout: self.reload_timeout.unwrap_or(TIMEOUT),
                    check: self.check.clone(),
                    reload: self.into_reload()?,
                }))
            }
        }
    }

    fn refuse(&self, kind: &'static str, keys: &[(&'static str, bool)]) -> Result<(), SettingsError> {
        match keys.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(SettingsError::NotForKind { name: self.name.clone(), key, kind }),
            None => Ok(()),
        }
    }

    fn into_reload(self) -> Result<Option<Reload>, SettingsError> {
        let name = self.name;
        let wrong = |key, reason| Err(SettingsError::Reload { name: name.clone(), key, reason });
        match (self.reload, self.pid_file) {
            (Some(_), Some(_)) => wrong("pid_file", "and `reload` exclude each other: a signal, or a command"),
            (_, None) if self.signal.is_some() => wrong("signal", "needs `pid_file`: whom to send it to"),
            (_, None) if self.program.is_some() => wrong("program", "needs `pid_file`: whose name it is"),
            (Some(argv), None) => Ok(Some(Reload::Command(argv))),
            (None, None) => Ok(None),
            (None, Some(pid_file)) => {
                let signal = self.signal.unwrap_or_else(|| "SIGHUP".to_owned());
                match Signal::from_str(&signal) {
                    Ok(signal) => Ok(Some(Reload::Signal { pid_file, signal, program: self.program })),
                    Err(_) => Err(SettingsError::Signal { name, signal }),
                }
            }
        }
    }
}

fn octal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    struct Octal;

    impl de::Visitor<'_> for Octal {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("permission bits in octal and in quotes, such as \"0644\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u32, E> {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.starts_with('+'));
            mode.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    from.deserialize_str(Octal).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "\n[[template]]\nsource = \"a.hbs\"\ndestination = \"/etc/a.conf\"\n";

    fn read(keys: &str) -> Result<Settings, String> {
        toml::from_str(&format!("{keys}{TEMPLATE}")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_nginx_needs_no_more_than_its_name_and_templates() {
        let settings = read("name = 'edge'\nkind = 'nginx'").expect("it is right");
        let template = Template { source: "a.hbs".into(), destination: "/etc/a.conf".into(), ..Template::default() };
        let kind = Kind::Nginx(Nginx::default());
        assert_eq!(settings, Settings { name: "edge".into(), kind, templates: vec![template] });
        assert_eq!(Nginx::default().reload_timeout, Duration::from_secs(30));
    }

    #[test]
    fn every_key_is_understood() {
        let settings = toml::from_str::<Settings>(
            r#"
            name = "edge"
            kind = "nginx"
            binary = "/opt/nginx"
            conf = "/srv/nginx.conf"
            prefix = "/srv"
            pid_file = "/run/n.pid"
            check_timeout = "5s"
            reload_timeout = "1m"
            [[template]]
            source = "a"
            destination = "/b"
            mode = "0640"
            user = "root"
            group = "0"
            "#,
        )
        .expect("it is right");
        let kind = Kind::Nginx(Nginx {
            binary: "/opt/nginx".into(),
            conf: Some("/srv/nginx.conf".into()),
            prefix: Some("/srv".into()),
            pid_file: Some("/run/n.pid".into()),
            check_timeout: Duration::from_secs(5),
            reload_timeout: Duration::from_secs(60),
        });
        assert_eq!(settings.kind, kind);
        assert_eq!(settings.templates[0].mode, Some(0o640));

        let settings = read("name = 'c'\nkind = 'command'\ncheck = ['c', '{{candidate}}']\nreload = ['r']");
        let reload = Some(Reload::Command(vec!["r".into()]));
        let check = Some(vec!["c".into(), "{{candidate}}".into()]);
        let kind = Kind::Command(Command { check, reload, ..Command::default() });
        assert_eq!(settings.expect("it is right").kind, kind);

        let settings = read("name = 'c'\nkind = 'command'\npid_file = '/p'\nsignal = 'SIGUSR2'\nprogram = 'haproxy'");
        let program = Some("haproxy".to_owned());
        let reload = Some(Reload::Signal { pid_file: "/p".into(), signal: Signal::SIGUSR2, program });
        let kind = Kind::Command(Command { reload, ..Command::default() });
        assert_eq!(settings.expect("it is right").kind, kind);
    }

    #[test]
    fn each_mistake_is_named_by_its_key() {
        let nginx = |keys: &str| format!("name = 'n'\nkind = 'nginx'\n{keys}");
        let command = |keys: &str| format!("name = 'n'\nkind = 'command'\n{keys}");
        let mistakes = [
            ("name = 'n'\nkind = 'apache'".to_owned(), "apache"),
            ("name = '../n'\nkind = 'nginx'".to_owned(), "`name`"),
            ("name = ''\nkind = 'nginx'".to_owned(), "`name`"),
            ("kind = 'nginx'".to_owned(), "`name`"),
            (nginx("binery = 'x'"), "`binery`"),
            (nginx("reload = ['x']"), "`reload` is not for kind = \"nginx\""),
            (nginx("check_timeout = '5'"), "5"),
            (nginx("[[template]]\nsource = 'b'\ndestination = '/etc/a.conf'"), "`destination`: /etc/a.conf"),
            (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nmode = '0999'"), "octal"),
            (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nmode = 644"), "octal"),
            (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nmod = '1'"), "`mod`"),
            (command("conf = '/x'"), "`conf` is not for kind = \"command\""),
            (command("signal = 'SIGHUP'"), "`signal` needs `pid_file`"),
            (command("pid_file = '/p'\nsignal = 'HANGUP'"), "`signal`: \"HANGUP\""),
            (command("pid_file = '/p'\nreload = ['x']"), "`pid_file` and `reload`"),
            (command("reload = []"), "`reload`: the first"),
            (command("check = ['true']"), "{{candidate}}"),
        ];
        for (keys, named) in mistakes {
            let error = read(&keys).expect_err(&keys);
            assert!(error.contains(named), "{keys}: {error}");
        }
        let error = toml::from_str::<Settings>("name = 'n'\nkind = 'nginx'").expect_err("no template");
        assert!(error.to_string().contains("`template`"), "{error}");
    }
}
