//! The environment: `PORTREEVE_SECTION_KEY` for every scalar setting, and the variables of Consul and Docker. Pure.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Config, Error, injected_variables};
use crate::{core::value, ui::suggest};

const PREFIX: &str = "PORTREEVE_";
/// The variables that set flags. They are read together with the flags, not here.
const FLAG_VARIABLES: [&str; 3] = ["PORTREEVE_CONFIG", "PORTREEVE_LOG_FORMAT", "PORTREEVE_LOG_LEVEL"];
const SECTIONS: [&str; 5] = ["consul", "docker", "exec", "register", "render"];

/// The variables of Consul and Docker: name, section, key.
const STANDARD_VARIABLES: [(&str, &str, &str); 15] = [
    ("CONSUL_HTTP_ADDR", "consul", "address"),
    ("CONSUL_HTTP_TOKEN", "consul", "token"),
    ("CONSUL_HTTP_TOKEN_FILE", "consul", "token_file"),
    ("CONSUL_HTTP_AUTH", "consul", "http_auth"),
    ("CONSUL_HTTP_SSL", "consul", "ssl"),
    ("CONSUL_HTTP_SSL_VERIFY", "consul", "ssl_verify"),
    ("CONSUL_CACERT", "consul", "ca_cert"),
    ("CONSUL_CAPATH", "consul", "ca_path"),
    ("CONSUL_CLIENT_CERT", "consul", "client_cert"),
    ("CONSUL_CLIENT_KEY", "consul", "client_key"),
    ("CONSUL_TLS_SERVER_NAME", "consul", "tls_server_name"),
    ("CONSUL_NAMESPACE", "consul", "namespace"),
    ("CONSUL_PARTITION", "consul", "partition"),
    ("DOCKER_HOST", "docker", "host"),
    ("DOCKER_CERT_PATH", "docker", "cert_path"),
];

/// For Docker, every value except the empty one means true.
const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";

/// Overrides the settings of the file. Returns the names of the variables that a platform has set. An empty variable
/// counts as unset.
pub(super) fn overlay(
    table: &mut Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Vec<String>, Error> {
    let cleaned = environment.map(|(name, text)| (name, value::clean(&text).to_owned()));
    let variables: BTreeMap<_, _> = cleaned.filter(|(_, text)| !text.is_empty()).collect();
    for (name, section, key) in STANDARD_VARIABLES {
        if let Some(text) = variables.get(name) {
            set_key(table, name, section, key, text)?;
        }
    }
    if variables.contains_key(DOCKER_TLS_VERIFY) {
        set_key(table, DOCKER_TLS_VERIFY, "docker", "tls_verify", "true")?;
    }
    let mut injected = Vec::new();
    for (name, text) in variables.iter().filter(|(name, _)| !FLAG_VARIABLES.contains(&name.as_str())) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let rest = rest.to_ascii_lowercase();
        let setting =
            SECTIONS.iter().find_map(|section| Some((section, rest.strip_prefix(section)?.strip_prefix('_')?)));
        let result = match setting {
            Some((section, key)) => set_key(table, name, section, key, text),
            None => Err(Error::Environment {
                name: name.clone(),
                message: format!("{UNKNOWN_SETTING}{}", suggestion(&rest, text)),
            }),
        };
        match result {
            // An existing setting with an invalid value is an error.
            Err(error) if is_unknown(&error) && injected_variables::is_injected(&rest, text) => {
                injected.push(name.clone())
            }
            result => result?,
        }
    }
    Ok(injected)
}

/// The beginning of the message about a variable that is not a setting.
const UNKNOWN_SETTING: &str = "there is no such setting";

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Environment { message, .. } if message.starts_with(UNKNOWN_SETTING))
}

/// The setting that a name without a valid section may be a misspelling of.
fn suggestion(rest: &str, text: &str) -> String {
    let whole = FLAG_VARIABLES.iter().map(|flag| flag.trim_start_matches(PREFIX).to_ascii_lowercase());
    let sectioned = SECTIONS.iter().map(|section| format!("{section}_{rest}"));
    let respelled = rest
        .split_once('_')
        .and_then(|(word, key)| Some(format!("{}_{key}", suggest::nearest(word, SECTIONS, 2).first()?)));
    let is_setting = |name: &String| {
        let (section, key) = name.split_once('_').unwrap_or((name, ""));
        let result = set_key(&mut Table::new(), name, section, key, text);
        !result.is_err_and(|error| is_unknown(&error))
    };
    let flag = whole.filter(|flag| suggest::edit_distance(flag, rest) <= 2);
    let found = flag.chain(respelled).chain(sectioned.filter(is_setting)).next();
    match found {
        Some(name) => format!("; did you mean {PREFIX}{}?", name.to_ascii_uppercase()),
        None => format!(": after {PREFIX} comes one of {}_", SECTIONS.join("_, ").to_ascii_uppercase()),
    }
}

/// Sets one key to the text, to the TOML value in the text, or to a boolean, depending on the type of the setting.
fn set_key(table: &mut Table, name: &str, section: &str, key: &str, text: &str) -> Result<(), Error> {
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    let switch = match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => value::parse_boolean(text),
    };
    let text = Value::String(text.to_owned());
    let mut error = None;
    for value in [Some(text), parsed, switch.map(Value::Boolean)]
        .into_iter()
        .flatten()
        .filter(|value| !value.is_table() && !value.is_array())
    {
        let alone = Table::from_iter([(key.to_owned(), value.clone())]);
        let alone = Table::from_iter([(section.to_owned(), Value::Table(alone))]);
        match alone.try_into::<Config>() {
            Ok(_) => {
                let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(key.to_owned(), value);
                }
                return Ok(());
            }
            Err(wrong) => error = error.or(Some(wrong)),
        }
    }
    let message = error.map(|error| error.message().to_owned()).unwrap_or_default();
    let message = match message.strip_prefix("unknown field ") {
        Some(known) => {
            let known: Vec<_> = known.split('`').skip(3).step_by(2).collect();
            let nearest = suggest::nearest(key, known, 3);
            let hint = nearest.first().map(|key| format!("{section}_{key}").to_ascii_uppercase());
            let hint = hint.map(|meant| format!("; did you mean {PREFIX}{meant}?"));
            format!("{UNKNOWN_SETTING}{}", hint.unwrap_or_else(|| format!(" in [{section}]")))
        }
        None => message,
    };
    Err(Error::Environment { name: name.to_owned(), message })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let mut table: Table = file.parse().expect("valid TOML");
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        overlay(&mut table, owned).map_err(|error| error.to_string())?;
        Ok(table.try_into().expect("a configuration"))
    }

    #[test]
    fn every_scalar_can_be_set_whatever_its_type() {
        let config = load(
            "[register]\nip = '10.0.0.1'\nhostname = 'a'",
            &[
                ("PORTREEVE_REGISTER_IP", "10.0.0.2"),
                ("PORTREEVE_REGISTER_RESYNC", "5s"),
                ("PORTREEVE_REGISTER_ON_EXIT", "deregister"),
                ("PORTREEVE_CONSUL_TOKEN", "12345"),
                ("PORTREEVE_CONSUL_CONNECTIONS", "7"),
                ("PORTREEVE_DOCKER_TLS_VERIFY", "true"),
                ("PORTREEVE_EXEC_COMMAND", "app -v"),
                ("PORTREEVE_EXEC_KILL_TIMEOUT", "5s"),
                ("CONSUL_HTTP_SSL_VERIFY", "false"),
                ("OTHER", "x"),
            ],
        )
        .expect("valid");
        assert_eq!(config.register.ip.as_deref(), Some("10.0.0.2"));
        assert_eq!(config.register.hostname.as_deref(), Some("a"));
        assert_eq!(config.register.resync, Duration::from_secs(5));
        assert_eq!(config.register.on_exit, crate::register::OnExit::Deregister);
        assert_eq!(config.consul.connections.get(), 7);
        assert!(config.docker.tls_verify && !config.consul.ssl_verify);
        assert_eq!(config.exec.kill_timeout, Some(Duration::from_secs(5)));
        assert!(config.exec.command.is_some());
    }

    #[test]
    fn portreeves_variables_override_those_of_consul_and_docker() {
        let both = [("CONSUL_HTTP_ADDR", "a:1"), ("PORTREEVE_CONSUL_ADDRESS", "b:2"), ("DOCKER_HOST", "unix:///d")];
        let config = load("", &both).expect("valid");
        assert_eq!(config.consul.address.to_string(), "http://b:2");
        assert_eq!(config.docker.host.as_deref(), Some("unix:///d"));
        let none = [("CONSUL_HTTP_ADDR", ""), ("PORTREEVE_LOG_LEVEL", "debug"), ("PORTREEVE_CONFIG", "/x")];
        assert_eq!(load("", &none), Ok(Config::default()));
    }

    #[test]
    fn an_error_names_the_variable() {
        let error = |name, value| load("", &[(name, value)]).expect_err("wrong");
        assert!(
            error("PORTREEVE_REGISTER_RESYNC", "soon")
                .starts_with("in the environment variable PORTREEVE_REGISTER_RESYNC: ")
        );
        assert!(error("PORTREEVE_REGISTER_RESINC", "5s").ends_with("did you mean PORTREEVE_REGISTER_RESYNC?"));
        assert!(error("PORTREEVE_REGISTRE_IP", "x").ends_with("did you mean PORTREEVE_REGISTER_IP?"));
        assert!(error("PORTREEVE_RESYNC", "5s").ends_with("did you mean PORTREEVE_REGISTER_RESYNC?"));
        assert!(error("PORTREEVE_LOG_LEVL", "debug").ends_with("did you mean PORTREEVE_LOG_LEVEL?"));
        assert!(error("PORTREEVE_REGISTER_HOST_NAME", "box").ends_with("did you mean PORTREEVE_REGISTER_HOSTNAME?"));
        assert!(error("PORTREEVE_VERSION", "1").contains("after PORTREEVE_ comes one of CONSUL_, "));
    }

    #[test]
    fn injected_variables_are_ignored() {
        let variables = [("PORTREEVE_SERVICE_HOST", "10.0.0.1"), ("PORTREEVE_REGISTER_PORT", "tcp://10.0.0.1:1")];
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let injected = overlay(&mut Table::new(), owned).expect("no error");
        assert_eq!(injected, ["PORTREEVE_REGISTER_PORT", "PORTREEVE_SERVICE_HOST"]);
    }

    #[test]
    fn booleans_and_values_as_in_env_files() {
        for (text, expected) in
            [("1", true), ("t", true), ("TRUE", true), ("\"true\"\r", true), ("on", true), ("F", false)]
        {
            let config = load("", &[("PORTREEVE_REGISTER_INTERNAL", text), ("CONSUL_HTTP_SSL", text)]).expect(text);
            assert_eq!((config.register.internal, config.consul.ssl), (expected, expected), "{text:?}");
        }
        assert!(load("", &[("PORTREEVE_REGISTER_INTERNAL", "maybe")]).is_err());
        let config = load("", &[("PORTREEVE_REGISTER_IP", "\"10.0.0.5\"\r")]).expect("valid");
        assert_eq!(config.register.ip.as_deref(), Some("10.0.0.5"));
    }
}
