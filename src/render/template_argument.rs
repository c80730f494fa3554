//! Parses `--template SOURCE:DESTINATION[:COMMAND]`, the notation of consul-template, into a target.
//!
//! Colons after the second belong to the command. A source alone, which consul-template renders without writing a file, is
//! an error: `--dry-run` shows what would be written.
//!
//! The command is split into words as by a shell, but no shell runs it. If it reloads nginx (`nginx -s reload`, with
//! `-p`, `-c` and a pid in `-g`, the same by the service manager, or a `kill` with the pid from nginx's pid file), the
//! target has the kind nginx: Portreeve checks the candidate, signals the master, and verifies that it has new workers.

use std::path::{Path, PathBuf};

use crate::{
    sys::argv::{self, SplitError},
    target::{CommandSettings, NginxSettings, ReloadMethod, Settings, TargetKind, TemplateSettings},
};

/// Why a `--template` argument is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TemplateArgumentError {
    /// It does not have two or three parts.
    #[error(
        "--template {0:?}: write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND; --dry-run shows what would be written"
    )]
    InvalidForm(String),
    /// A quotation mark is not closed.
    #[error("--template {argument:?}: the command cannot be split into words")]
    UnbalancedQuotes {
        /// The whole argument.
        argument: String,
        /// The parser's error.
        #[source]
        source: shell_words::ParseError,
    },
    /// The command contains shell syntax.
    #[error(
        "--template {argument:?}: {word:?} means something to a shell only, and none is involved; `nginx -t` is run \
         before every `nginx -s reload` anyway; for the rest write sh -c '…'"
    )]
    ShellSyntax {
        /// The whole argument.
        argument: String,
        /// The word.
        word: String,
    },
}

/// The targets of all `--template` arguments. Templates with the same command share one target.
///
/// # Errors
/// An argument is wrong.
pub fn parse(arguments: &[String]) -> Result<Vec<Settings>, TemplateArgumentError> {
    let mut targets: Vec<(Vec<String>, Settings)> = Vec::new();
    for argument in arguments {
        let (template, command) = split(argument)?;
        match targets.iter_mut().find(|(shared, _)| !command.is_empty() && *shared == command) {
            Some((_, target)) => target.templates.push(template),
            None => {
                let is_taken = |name: &str| targets.iter().any(|(_, target)| target.name == name);
                let name = target_name(&template.destination, is_taken);
                targets.push((command.clone(), Settings::new(name, target_kind(command), vec![template])));
            }
        }
    }
    Ok(targets.into_iter().map(|(_, target)| target).collect())
}

fn split(argument: &str) -> Result<(TemplateSettings, Vec<String>), TemplateArgumentError> {
    let mut parts = argument.splitn(3, ':');
    let (Some(source), Some(destination)) = (parts.next(), parts.next()) else {
        return Err(TemplateArgumentError::InvalidForm(argument.to_owned()));
    };
    let command = parts.next();
    if source.is_empty() || destination.is_empty() || command.is_some_and(|command| command.trim().is_empty()) {
        return Err(TemplateArgumentError::InvalidForm(argument.to_owned()));
    }
    let template =
        TemplateSettings { source: source.into(), destination: destination.into(), ..TemplateSettings::default() };
    let command = command.unwrap_or_default();
    if parse_kill(command).is_some() {
        return Ok((template, vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()]));
    }
    let command = argv::split(command).map_err(|error| {
        let argument = argument.to_owned();
        match error {
            SplitError::Quotes(source) => TemplateArgumentError::UnbalancedQuotes { argument, source },
            SplitError::Shell(word) => TemplateArgumentError::ShellSyntax { argument, word },
        }
    })?;
    Ok((template, command))
}

/// A name derived from the destination, so that it is the same in each run.
fn target_name(destination: &Path, is_taken: impl Fn(&str) -> bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let path: String = destination.to_string_lossy().trim_start_matches(['/', '.']).chars().map(plain).collect();
    let numbered = (2..).map(|number| format!("{path}-{number}"));
    std::iter::once(path.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(path)
}

fn target_kind(command: Vec<String>) -> TargetKind {
    match parse_nginx_reload(&command) {
        Some(nginx) => TargetKind::Nginx(nginx),
        None if command.is_empty() => TargetKind::Command(CommandSettings::default()),
        None => TargetKind::Command(CommandSettings {
            reload: Some(ReloadMethod::Command(command)),
            ..CommandSettings::default()
        }),
    }
}

/// The settings of the nginx that `command` reloads. `None` if it does anything else.
fn parse_nginx_reload(command: &[String]) -> Option<NginxSettings> {
    let (binary, mut arguments) = command.split_first()?;
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match (Path::new(binary).file_name()?.to_str()?, &words[..]) {
        ("systemctl", ["reload", "nginx" | "nginx.service"]) | ("service", ["nginx", "reload"]) => {
            return Some(NginxSettings::default());
        }
        ("nginx", ["reload"]) if binary == "/etc/init.d/nginx" => return Some(NginxSettings::default()),
        ("sh" | "bash", ["-c", script]) => return parse_script(script),
        ("nginx", _) => {}
        _ => return None,
    }
    let mut nginx = NginxSettings { binary: binary.into(), ..NginxSettings::default() };
    let mut reload = false;
    while let Some((argument, rest)) = arguments.split_first() {
        // `-c FILE` and `-cFILE` are the same to nginx.
        let (option, attached) = argument.split_at_checked(2)?;
        let (value, rest) = match (option, attached) {
            ("-q", "") => ("", rest),
            (_, "") => rest.split_first().map(|(value, rest)| (value.as_str(), rest))?,
            _ => (attached, rest),
        };
        match option {
            "-q" => {}
            "-s" if value == "reload" => reload = true,
            "-p" => nginx.prefix = Some(value.into()),
            "-c" => nginx.conf = Some(value.into()),
            "-g" => nginx.pid_file = parse_pid_directive(value)?.or(nginx.pid_file),
            _ => return None,
        }
        arguments = rest;
    }
    reload.then_some(nginx)
}

/// Parses `nginx -t && nginx -s reload`. Portreeve runs that test itself.
fn parse_script(script: &str) -> Option<NginxSettings> {
    let mut commands = script.rsplit("&&");
    let last = commands.next()?;
    let reload = parse_kill(last).or_else(|| {
        let is_plain = !last.contains(['|', ';', '$', '`', '<', '>']);
        parse_nginx_reload(&argv::split(last).ok().filter(|_| is_plain)?)
    });
    let mut commands = commands.map(|command| argv::split(command).ok());
    let is_test = |command: Option<Vec<String>>| {
        let Some([binary, options @ ..]) = command.as_deref() else { return false };
        let known = options.iter().all(|option| ["-t", "-q", "-tq", "-qt"].contains(&option.as_str()));
        Path::new(binary).file_name().is_some_and(|name| name == "nginx") && !options.is_empty() && known
    };
    reload.filter(|_| commands.all(is_test))
}

/// Parses `kill -HUP $(cat /run/nginx.pid)` if the name of the file contains `nginx`.
fn parse_kill(command: &str) -> Option<NginxSettings> {
    let words: Vec<_> =
        command.split(|c: char| c.is_whitespace() || "$()`\"'".contains(c)).filter(|w| !w.is_empty()).collect();
    let (program, signal, pid_file) = match words[..] {
        [program, signal, "cat" | "/bin/cat", file] => (program, signal, file),
        [program, "-s" | "--signal", signal, "cat" | "/bin/cat", file] => (program, signal, file),
        _ => return None,
    };
    let is_kill = ["kill", "/bin/kill", "/usr/bin/kill"].contains(&program);
    let is_hang_up = ["HUP", "SIGHUP", "1"].contains(&signal.trim_start_matches('-'));
    let is_substituted = command.contains("$(") || command.contains('`');
    let names_nginx = Path::new(pid_file).file_name()?.to_str()?.contains("nginx");
    let is_known = is_kill && is_hang_up && is_substituted && names_nginx && pid_file.starts_with('/');
    is_known.then(|| NginxSettings { pid_file: Some(pid_file.into()), ..NginxSettings::default() })
}

/// The pid file that `-g` names, if any. `None` if there are other directives, which the check would have to know.
fn parse_pid_directive(directives: &str) -> Option<Option<PathBuf>> {
    let mut found = None;
    for directive in directives.split(';') {
        match *directive.split_whitespace().collect::<Vec<_>>() {
            ["pid", path] => found = Some(path.into()),
            [] | ["daemon" | "master_process", _] => {}
            _ => return None,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(arguments: &[&str]) -> Vec<Settings> {
        parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn one(command: &str) -> TargetKind {
        targets(&[&format!("a:/b:{command}")]).remove(0).kind
    }

    #[test]
    fn a_template_without_a_command_has_no_reload() {
        let [target] = &targets(&["web.hbs:/etc/app/web.conf"])[..] else { panic!("one target") };
        assert_eq!(target.name, "etc-app-web.conf");
        assert_eq!(target.kind, TargetKind::Command(CommandSettings::default()));
        assert_eq!(target.templates[0].source, PathBuf::from("web.hbs"));
        assert_eq!(target.templates[0].destination, PathBuf::from("/etc/app/web.conf"));
        assert!(target.validate().is_ok());
    }

    #[test]
    fn a_command_is_split_into_words() {
        let reload = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect();
            TargetKind::Command(CommandSettings {
                reload: Some(ReloadMethod::Command(words)),
                ..CommandSettings::default()
            })
        };
        assert_eq!(one("systemctl reload haproxy"), reload(&["systemctl", "reload", "haproxy"]));
        assert_eq!(one("curl http://localhost:80/ -d 'a b'"), reload(&["curl", "http://localhost:80/", "-d", "a b"]));
        assert_eq!(one("sh -c 'a && b; c'"), reload(&["sh", "-c", "a && b; c"]));
        assert_eq!(one("nginx -s stop"), reload(&["nginx", "-s", "stop"]));
        assert_eq!(
            one("nginx -g 'worker_processes 2;' -s reload"),
            reload(&["nginx", "-g", "worker_processes 2;", "-s", "reload"])
        );
    }

    #[test]
    fn reloads_of_nginx_make_nginx_targets() {
        let plain = NginxSettings::default;
        let at = |pid_file: &str| NginxSettings { pid_file: Some(pid_file.into()), ..plain() };
        let cases = [
            ("nginx -s reload", plain()),
            ("nginx -sreload -q", plain()),
            ("systemctl reload nginx", plain()),
            ("service nginx reload", plain()),
            ("/usr/bin/systemctl reload nginx.service", plain()),
            ("/etc/init.d/nginx reload", plain()),
            ("sh -c 'nginx -t && nginx -s reload'", plain()),
            ("/bin/sh -c 'nginx -tq && service nginx reload'", plain()),
            ("/opt/sbin/nginx -s reload", NginxSettings { binary: "/opt/sbin/nginx".into(), ..plain() }),
            (
                "nginx -p /srv -c /srv/n.conf -s reload",
                NginxSettings { prefix: Some("/srv".into()), conf: Some("/srv/n.conf".into()), ..plain() },
            ),
            ("nginx -c/srv/n.conf -s reload", NginxSettings { conf: Some("/srv/n.conf".into()), ..plain() }),
            ("kill -HUP $(cat /run/nginx.pid)", at("/run/nginx.pid")),
            ("kill -s HUP `cat /var/run/nginx.pid`", at("/var/run/nginx.pid")),
            ("/bin/kill -1 \"$(cat /run/nginx-edge.pid)\"", at("/run/nginx-edge.pid")),
            ("sh -c 'kill -HUP $(cat /run/nginx.pid)'", at("/run/nginx.pid")),
            ("sh -c 'nginx -t && kill -SIGHUP $(cat /run/nginx.pid)'", at("/run/nginx.pid")),
            (
                "nginx -g 'pid /run/x.pid; daemon off;' -s reload",
                NginxSettings { pid_file: Some("/run/x.pid".into()), ..plain() },
            ),
        ];
        for (command, expected) in cases {
            assert_eq!(one(command), TargetKind::Nginx(expected), "{command}");
        }
    }

    #[test]
    fn an_unknown_command_that_names_nginx_gives_advice() {
        for command in [
            "docker exec nginx nginx -s reload",
            "sudo systemctl reload nginx",
            "openresty -s reload",
            "sh -c 'nginx -t; nginx -s reload'",
            "sh -c 'nginx -t | tee x && kill -HUP $(cat /run/nginx.pid)'",
            "sh -c 'kill -USR2 $(cat /run/nginx.pid)'",
            "pkill -HUP nginx",
        ] {
            let target = |destination| targets(&[&format!("a:{destination}:{command}")]).remove(0);
            let advice = target("/x/a.conf").advice().unwrap_or_default();
            assert!(advice.starts_with(&format!("no check, no escaping: `{}", &command[..2])), "{command}: {advice}");
            let advice = target("/etc/nginx/conf.d/a.conf").advice().unwrap_or_default();
            assert!(advice.starts_with("no check: `"), "{command}: {advice}");
        }
        for command in ["nginx -s reload", "systemctl reload haproxy"] {
            assert_eq!(targets(&[&format!("a:/b:{command}")])[0].advice(), None, "{command}");
        }
    }

    #[test]
    fn templates_with_the_same_command_share_a_target() {
        let all = targets(&["a:/x/1:nginx -s reload", "b:/x/2", "c:/x/3:nginx  -s 'reload'", "d:/x/4", "e:/x-2"]);
        let shape: Vec<_> = all.iter().map(|target| (target.name.as_str(), target.templates.len())).collect();
        assert_eq!(shape, [("x-1", 2), ("x-2", 1), ("x-4", 1), ("x-2-2", 1)]);
    }

    #[test]
    fn wrong_arguments_are_errors() {
        let cases = [
            ("a", "write SOURCE:DESTINATION"),
            (":/b", "write SOURCE:DESTINATION"),
            ("a:", "write SOURCE:DESTINATION"),
            ("a", "--dry-run shows"),
            ("a:/b: ", "write SOURCE:DESTINATION"),
            ("a:/b:echo 'x", "cannot be split"),
            ("a:/b:nginx -t && nginx -s reload", "\"&&\" means something to a shell only"),
            ("a:/b:nginx -t; nginx -s reload", "\"-t;\" means something"),
            ("a:/b:kill -HUP $(cat /run/app.pid)", "\"$(cat\" means something to a shell only"),
            ("a:/b:kill -HUP `cat /run/app.pid`", "\"`cat\" means something to a shell only"),
        ];
        for (argument, expected) in cases {
            let error = parse(&[argument.to_owned()]).expect_err(argument).to_string();
            assert!(error.contains(expected) && error.contains(argument.trim_end()), "{error}");
        }
    }
}
