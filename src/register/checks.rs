//! Derives the health checks of an instance from the metadata. Pure.
//!
//! `SERVICE_CHECK_HTTP=/up` defines one check; more are numbered (`SERVICE_CHECK_1_HTTP`, `SERVICE_CHECK_2_TCP`).
//! Settings without a number (`SERVICE_CHECK_INTERVAL`) apply to the checks without such a setting of their own. If a
//! value can never work, only the check or the setting that it belongs to is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    known_keys::CHECK_KINDS,
    metadata::{PortMetadata, Setting, is_truthy},
    tags, value_problems,
};
use crate::{
    consul::limits,
    core::value::clean,
    docker::{Container, Port, Protocol},
    registry::{Check, CheckProbe},
};

/// The time between two probes without `CHECK_INTERVAL`, as in registrator.
const DEFAULT_INTERVAL: &str = "10s";

/// The kinds that make the agent run a command. They need `--allow-script-checks`: an image sets its own variables, and
/// must not run programs on the host with them.
const SCRIPT_KINDS: [&str; 3] = ["cmd", "script", "docker"];

/// The kinds that need a tcp port.
const TCP_KINDS: [&str; 5] = ["http", "https", "tcp", "grpc", "h2ping"];

/// One port of a container, with everything that its checks depend on.
pub(super) struct CheckBuilder<'a> {
    pub(super) container: &'a Container,
    pub(super) metadata: &'a PortMetadata<'a>,
    pub(super) port: Port,
    /// The address at which other hosts reach the port.
    pub(super) address: &'a str,
    /// The port that belongs to `address`.
    pub(super) address_port: u16,
    /// Whether a check may make the agent run a command.
    pub(super) allow_scripts: bool,
}

impl CheckBuilder<'_> {
    /// Builds all checks, and adds a note for each that is left out.
    pub(super) fn build_all(&self, notes: &mut Vec<String>) -> Vec<Check> {
        let numbers = self.metadata.iter().filter_map(|(key, _)| check_number(key));
        let groups: BTreeSet<_> = numbers.collect();
        [None].into_iter().chain(groups.into_iter().map(Some)).filter_map(|number| self.build(number, notes)).collect()
    }

    fn build(&self, number: Option<u32>, notes: &mut Vec<String>) -> Option<Check> {
        let mut setting = CHECK_KINDS.iter().filter_map(|kind| Some((*kind, self.own_setting(number, kind)?)));
        let (kind, setting) = setting.find(|(kind, setting)| {
            let is_refused = SCRIPT_KINDS.contains(kind) && !self.allow_scripts;
            if is_refused {
                let what = "is ignored: it makes Consul's agent run a command, which needs --allow-script-checks";
                notes.push(format!("{} {what}", setting.name));
            }
            !is_refused
        })?;
        // A connection check for the whole container applies to its tcp ports.
        if self.port.protocol != Protocol::Tcp && !setting.is_port_specific && TCP_KINDS.contains(&kind) {
            return None;
        }
        let probe = match self.probe(number, kind, setting) {
            Ok(probe) => probe,
            Err(problem) => {
                notes.push(problem);
                return None;
            }
        };
        let probe = self.with_method(number, kind, probe, notes);
        let mut valid_value = |key, problem| self.valid_value(number, key, problem, notes);
        let waits_for_reports = matches!(probe, CheckProbe::Report { .. });
        Some(Check {
            key: number.map_or_else(|| Check::FIRST.to_owned(), |number| number.to_string()),
            interval: (!waits_for_reports).then(|| {
                valid_value("interval", value_problems::interval_problem).unwrap_or_else(|| DEFAULT_INTERVAL.to_owned())
            }),
            timeout: (!waits_for_reports).then(|| valid_value("timeout", value_problems::interval_problem)).flatten(),
            initial_status: valid_value("initial_status", limits::initial_status_problem)
                .map(|status| status.to_lowercase()),
            deregister_after: valid_value("deregister_after", limits::duration_problem),
            success_before_passing: valid_value("success_before_passing", value_problems::count_problem)
                .and_then(|n| n.parse().ok()),
            failures_before_critical: valid_value("failures_before_critical", value_problems::count_problem)
                .and_then(|n| n.parse().ok()),
            // A name applies to one check only.
            name: self
                .own_setting(number, "name")
                .and_then(|own| without_problem(own, value_problems::check_name_problem, notes)),
            probe,
        })
    }

    /// The probe, or a note that says why there is none.
    fn probe(&self, number: Option<u32>, kind: &str, setting: Setting<'_>) -> Result<CheckProbe, String> {
        let ignored = |problem| format!("{} is ignored: {problem}", setting.name);
        let address = host_and_port(self.address, self.address_port);
        let tls_skip_verify = self.is_enabled(number, "tls_skip_verify");
        Ok(match kind {
            "http" | "https" => CheckProbe::Http {
                url: value_problems::path_problem(setting.value)
                    .map_or_else(|| Ok(url(kind, &address, setting.value)), |problem| Err(ignored(problem)))?,
                method: None,
                header: self.setting(number, "header").map_or(Ok(BTreeMap::new()), |header| {
                    parse_headers(header.value)
                        .map_err(|problem| format!("{} is invalid, so its check is left out: {problem}", header.name))
                })?,
                body: self.value(number, "body").map(str::to_owned),
                tls_skip_verify: tls_skip_verify && kind == "https",
            },
            "tcp" => CheckProbe::Tcp { address },
            "grpc" => {
                let tls = self.is_enabled(number, "grpc_use_tls");
                CheckProbe::Grpc { address, tls, tls_skip_verify: tls && tls_skip_verify }
            }
            "h2ping" => {
                let tls = self.is_enabled(number, "h2ping_use_tls");
                CheckProbe::H2ping { address, tls, tls_skip_verify: tls && tls_skip_verify }
            }
            "ttl" => {
                limits::duration_problem(setting.value).map_or(Ok(()), |problem| Err(ignored(problem)))?;
                CheckProbe::Report { ttl: setting.value.to_owned() }
            }
            "docker" => CheckProbe::Docker {
                container: self.container.id.clone(),
                shell: self.value(number, "shell").map(str::to_owned),
                arguments: split_command(setting.value).map_err(ignored)?,
            },
            "cmd" => {
                let words = ["check-cmd", self.container.short_id(), &self.port.number.to_string(), setting.value];
                CheckProbe::Script { arguments: words.map(str::to_owned).into() }
            }
            _ => {
                let script = setting.value.replace("$SERVICE_IP", self.address);
                let script = script.replace("$SERVICE_PORT", &self.address_port.to_string());
                CheckProbe::Script { arguments: split_command(&script).map_err(ignored)? }
            }
        })
    }

    /// The probe with its HTTP method, if it has one.
    fn with_method(
        &self,
        number: Option<u32>,
        kind: &str,
        mut probe: CheckProbe,
        notes: &mut Vec<String>,
    ) -> CheckProbe {
        if let CheckProbe::Http { method, .. } = &mut probe {
            let setting = self.setting(number, &format!("{kind}_method")).or_else(|| self.setting(number, "method"));
            *method = setting
                .and_then(|setting| without_problem(setting, value_problems::method_problem, notes))
                .map(|method| method.to_uppercase());
        }
        probe
    }

    /// The setting of this check, without a fallback.
    fn own_setting(&self, number: Option<u32>, key: &str) -> Option<Setting<'_>> {
        match number {
            None => self.metadata.get(&format!("check_{key}")),
            Some(number) => self.metadata.get(&format!("check_{number}_{key}")),
        }
    }

    /// The setting of this check, or else the one for all checks.
    fn setting(&self, number: Option<u32>, key: &str) -> Option<Setting<'_>> {
        self.own_setting(number, key).or_else(|| self.own_setting(None, key))
    }

    fn value(&self, number: Option<u32>, key: &str) -> Option<&str> {
        self.setting(number, key).map(|setting| setting.value)
    }

    /// The value of a setting if Consul accepts it. With an invalid value, Consul would refuse the whole service.
    fn valid_value(
        &self,
        number: Option<u32>,
        key: &str,
        problem: fn(&str) -> Option<String>,
        notes: &mut Vec<String>,
    ) -> Option<String> {
        without_problem(self.setting(number, key)?, problem, notes)
    }

    fn is_enabled(&self, number: Option<u32>, key: &str) -> bool {
        self.value(number, key).is_some_and(is_truthy)
    }
}

/// The value of a setting; `None`, with a note, if there is a problem.
fn without_problem(
    setting: Setting<'_>,
    problem: fn(&str) -> Option<String>,
    notes: &mut Vec<String>,
) -> Option<String> {
    if let Some(problem) = problem(setting.value) {
        notes.push(format!("{} is ignored: {problem}", setting.name));
        return None;
    }
    Some(setting.value.to_owned())
}

/// The number of a numbered check's key: 2 of `check_2_tcp`.
fn check_number(key: &str) -> Option<u32> {
    let (number, _) = key.strip_prefix("check_")?.split_once('_')?;
    number.parse().ok().filter(|parsed: &u32| *parsed > 0 && parsed.to_string() == number)
}

/// Formats as `10.0.0.1:80` or `[2001:db8::1]:80`.
pub(super) fn host_and_port(address: &str, port: u16) -> String {
    match address.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

fn url(scheme: &str, address: &str, path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{address}{slash}{path}")
}

/// Parses `Host: a.example, X-Probe: 1`.
fn parse_headers(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut headers = BTreeMap::<_, Vec<_>>::new();
    for pair in tags::split_tags(text) {
        let (name, value) = pair.split_once(':').ok_or_else(|| format!("{pair:?} is not of the form Name: value"))?;
        let (name, value) = (name.trim(), clean(value));
        value_problems::header_problem(name, value).map_or(Ok(()), Err)?;
        headers.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Ok(headers)
}

/// Splits a script into a program and its arguments. A script that needs a shell is run by `sh -c`.
fn split_command(script: &str) -> Result<Vec<String>, String> {
    let words = shell_words::split(script).map_err(|error| error.to_string())?;
    match words.is_empty() {
        true => Err("it is empty".to_owned()),
        false if needs_shell(script) => Ok(["sh", "-c", script].map(str::to_owned).into()),
        false => Ok(words),
    }
}

/// Whether a script has an operator, an expansion or a pattern outside of quotes.
fn needs_shell(script: &str) -> bool {
    let (mut quote, mut chars) = (None, script.chars());
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(char),
            (None | Some('"'), '\\') => drop(chars.next()),
            (None | Some('"'), '$' | '`') | (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*') => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{fixture::container, metadata::Metadata};

    fn made(pairs: &[(&str, &str)], port: &str, address: &str) -> (Vec<Check>, Vec<String>) {
        let container = pairs.iter().fold(container("web"), |container, (name, value)| container.env(name, value));
        let (metadata, port, mut notes) = (Metadata::read(&container), port.parse().expect("a port"), Vec::new());
        let metadata = metadata.for_port(port);
        let checked = CheckBuilder {
            container: &container,
            metadata: &metadata,
            port,
            address,
            address_port: 8000,
            allow_scripts: true,
        };
        (checked.build_all(&mut notes), notes)
    }

    fn probe(pairs: &[(&str, &str)], port: &str, address: &str) -> String {
        match made(pairs, port, address).0.first().map(|check| &check.probe) {
            Some(CheckProbe::Http { url, .. }) => url.clone(),
            Some(CheckProbe::Tcp { address }) => address.clone(),
            Some(CheckProbe::Script { arguments }) => format!("{arguments:?}"),
            Some(other) => format!("{other:?}"),
            None => "none".into(),
        }
    }

    #[test]
    fn probes() {
        let http: &[_] = &[("SERVICE_CHECK_HTTP", "health")];
        assert_eq!(probe(http, "80/tcp", "10.0.0.1"), "http://10.0.0.1:8000/health");
        assert_eq!(probe(http, "80/tcp", "2001:db8::1"), "http://[2001:db8::1]:8000/health");
        assert_eq!(probe(http, "53/udp", "10.0.0.1"), "none");
        assert_eq!(probe(&[("SERVICE_CHECK_HTTPS", "/h")], "80/tcp", "10.0.0.1"), "https://10.0.0.1:8000/h");
        assert_eq!(probe(&[("SERVICE_CHECK_TCP", "1")], "80/tcp", "::1"), "[::1]:8000");
        assert_eq!(probe(&[("SERVICE_53_CHECK_TCP", "1")], "53/udp", "10.0.0.1"), "10.0.0.1:8000");
        assert_eq!(probe(&[("SERVICE_CHECK_INITIAL_STATUS", "passing")], "80/tcp", "10.0.0.1"), "none");
        assert_eq!(probe(&[("SERVICE_CHECK_TTL", "30s")], "80/tcp", "h"), r#"Report { ttl: "30s" }"#);
        let grpc: &[_] = &[("SERVICE_CHECK_GRPC", "1"), ("SERVICE_CHECK_TLS_SKIP_VERIFY", "1")];
        assert_eq!(probe(grpc, "80/tcp", "h"), r#"Grpc { address: "h:8000", tls: false, tls_skip_verify: false }"#);
    }

    #[test]
    fn scripts_become_arguments() {
        let script = |text: &str| probe(&[("SERVICE_CHECK_SCRIPT", text)], "80/tcp", "10.0.0.1");
        assert_eq!(script("nc -z $SERVICE_IP $SERVICE_PORT"), r#"["nc", "-z", "10.0.0.1", "8000"]"#);
        assert_eq!(script("say 'two words'"), r#"["say", "two words"]"#);
        assert_eq!(script("nc $SERVICE_IP 1 | grep OK"), r#"["sh", "-c", "nc 10.0.0.1 1 | grep OK"]"#);
        assert_eq!(script("nc $SERVICE_IP 1|grep OK"), r#"["sh", "-c", "nc 10.0.0.1 1|grep OK"]"#);
        assert_eq!(script("find /tmp -name '*.up'"), r#"["find", "/tmp", "-name", "*.up"]"#);
        assert_eq!(script(r"say \$HOME"), r#"["say", "$HOME"]"#);
        assert_eq!(script(r#"say "$HOME""#), r#"["sh", "-c", "say \"$HOME\""]"#);
        assert_eq!(probe(&[("SERVICE_CHECK_SCRIPT", "dig x")], "53/udp", "h"), r#"["dig", "x"]"#, "not a connection");
        let command = probe(&[("SERVICE_CHECK_CMD", "/x y")], "80/tcp", "h");
        assert_eq!(command, r#"["check-cmd", "000000000000", "80", "/x y"]"#);
        let (checks, notes) = made(&[("SERVICE_CHECK_SCRIPT", "say 'no end")], "80/tcp", "h");
        assert_eq!(checks, []);
        assert!(notes[0].starts_with("SERVICE_CHECK_SCRIPT is ignored"), "{notes:?}");
    }

    #[test]
    fn settings_of_a_check() {
        let pairs: &[_] = &[
            ("SERVICE_CHECK_HTTPS", "/"),
            ("SERVICE_CHECK_HTTPS_METHOD", "HEAD"),
            ("SERVICE_CHECK_HEADER", r"Host: a.example, X-List: 1\,2"),
            ("SERVICE_CHECK_TLS_SKIP_VERIFY", "true"),
            ("SERVICE_CHECK_TIMEOUT", "2s"),
            ("SERVICE_CHECK_INITIAL_STATUS", "passing"),
            ("SERVICE_CHECK_DEREGISTER_AFTER", "10m"),
            ("SERVICE_CHECK_FAILURES_BEFORE_CRITICAL", "3"),
            ("SERVICE_CHECK_SUCCESS_BEFORE_PASSING", "many"),
        ];
        let (checks, notes) = made(pairs, "80/tcp", "h");
        let [check] = &checks[..] else { panic!("{checks:?}") };
        let CheckProbe::Http { method, header, tls_skip_verify, .. } = &check.probe else { panic!("{check:?}") };
        assert_eq!((method.as_deref(), *tls_skip_verify), (Some("HEAD"), true));
        assert_eq!((&header["Host"][..], &header["X-List"][..]), (&["a.example".into()][..], &["1,2".into()][..]));
        assert_eq!((check.interval.as_deref(), check.timeout.as_deref()), (Some("10s"), Some("2s")));
        assert_eq!(
            (check.initial_status.as_deref(), check.deregister_after.as_deref()),
            (Some("passing"), Some("10m"))
        );
        assert_eq!((check.success_before_passing, check.failures_before_critical), (None, Some(3)));
        assert_eq!(notes, ["SERVICE_CHECK_SUCCESS_BEFORE_PASSING is ignored: \"many\" is not a number"]);
    }

    #[test]
    fn an_invalid_setting_does_not_prevent_the_check() {
        let pairs: &[_] = &[
            ("SERVICE_CHECK_TCP", "1"),
            ("SERVICE_CHECK_INTERVAL", "10"),
            ("SERVICE_CHECK_TIMEOUT", "soon"),
            ("SERVICE_CHECK_INITIAL_STATUS", "up"),
            ("SERVICE_CHECK_DEREGISTER_AFTER", "1h30m"),
        ];
        let (checks, notes) = made(pairs, "80/tcp", "h");
        assert_eq!((checks[0].interval.as_deref(), checks[0].timeout.as_deref()), (Some("10s"), None));
        assert_eq!((checks[0].initial_status.as_deref(), checks[0].deregister_after.as_deref()), (None, Some("1h30m")));
        assert_eq!(notes.len(), 3);
        assert_eq!(notes[0], "SERVICE_CHECK_INTERVAL is ignored: \"10\" has no unit: write it like 10s");
        let (checks, notes) = made(&[("SERVICE_CHECK_TTL", "30")], "80/tcp", "h");
        assert_eq!((checks, notes.len()), (Vec::new(), 1));
    }

    #[test]
    fn several_checks_share_settings_without_a_number() {
        let pairs: &[_] = &[
            ("SERVICE_CHECK_HTTP", "/"),
            ("SERVICE_CHECK_1_TCP", "yes"),
            ("SERVICE_CHECK_2_HTTP", "/deep"),
            ("SERVICE_CHECK_2_NAME", "deep"),
            ("SERVICE_CHECK_2_INTERVAL", "1m"),
            ("SERVICE_CHECK_INTERVAL", "5s"),
        ];
        let (checks, _) = made(pairs, "80/tcp", "h");
        let rows: Vec<_> = checks.iter().map(|c| (c.key.as_str(), c.name.as_deref(), c.interval.as_deref())).collect();
        assert_eq!(rows, [("0", None, Some("5s")), ("1", None, Some("5s")), ("2", Some("deep"), Some("1m"))]);
    }

    #[test]
    fn a_check_that_runs_a_command_must_be_allowed() {
        let web = container("web").env("SERVICE_CHECK_SCRIPT", "x").env("SERVICE_CHECK_DOCKER", "y");
        let web = web.env("SERVICE_CHECK_1_CMD", "z").env("SERVICE_CHECK_TCP", "1");
        let (metadata, port, mut notes) = (Metadata::read(&web), "80/tcp".parse().expect("a port"), Vec::new());
        let metadata = metadata.for_port(port);
        let checked = CheckBuilder {
            container: &web,
            metadata: &metadata,
            port,
            address: "h",
            address_port: 1,
            allow_scripts: false,
        };
        let checks = checked.build_all(&mut notes);
        assert_eq!(
            checks.iter().map(|check| &check.probe).collect::<Vec<_>>(),
            [&CheckProbe::Tcp { address: "h:1".into() }]
        );
        assert!(notes.iter().all(|note| note.contains("--allow-script-checks")), "{notes:?}");
        assert_eq!(notes.len(), 2, "the one that goes before tcp, and the numbered one");
    }

    #[test]
    fn a_value_that_can_never_work_is_left_out_alone() {
        let check = |settings: &[(&str, &str)]| made(settings, "80/tcp", "h");
        let bad = [
            ("SERVICE_CHECK_HTTP", "http://localhost:8080/health"),
            ("SERVICE_CHECK_HTTPS", "/a\u{7}b"),
            ("SERVICE_CHECK_TTL", "9999999999h"),
        ];
        for bad in bad {
            let (checks, notes) = check(&[bad]);
            assert_eq!((checks.len(), notes.len()), (0, 1), "{bad:?}");
            assert!(notes[0].starts_with(&format!("{} is ignored: ", bad.0)), "{notes:?}");
        }
        let settings = [
            ("SERVICE_CHECK_METHOD", "FETCH"),
            ("SERVICE_CHECK_INTERVAL", "9999999999h"),
            ("SERVICE_CHECK_TIMEOUT", "48h"),
            ("SERVICE_CHECK_DEREGISTER_AFTER", "1 hour"),
            ("SERVICE_CHECK_NAME", "a\u{1b}b"),
        ];
        let pairs: Vec<_> = [("SERVICE_CHECK_HTTP", "/")].into_iter().chain(settings).collect();
        let (checks, notes) = check(&pairs);
        let CheckProbe::Http { method, .. } = &checks[0].probe else { panic!("{checks:?}") };
        assert_eq!((method, checks[0].interval.as_deref(), &checks[0].timeout), (&None, Some("10s"), &None));
        assert_eq!(notes.len(), 5, "{notes:?}");
        let (checks, notes) = check(&[("SERVICE_CHECK_HTTP", "/"), ("SERVICE_CHECK_HEADER", "a b: c")]);
        assert_eq!(checks, []);
        assert!(notes[0].starts_with("SERVICE_CHECK_HEADER is invalid"), "{notes:?}");
    }
}
