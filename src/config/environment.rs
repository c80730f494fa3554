//! The environment: `PORTREEVE_SECTION_KEY` for every scalar setting, and the names that everyone knows. Pure.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Config, Error};

const PREFIX: &str = "PORTREEVE_";
/// Belong to flags, which read them by themselves.
const FLAGS: [&str; 3] = ["PORTREEVE_CONFIG", "PORTREEVE_LOG_FORMAT", "PORTREEVE_LOG_LEVEL"];
const SECTIONS: [&str; 5] = ["consul", "docker", "exec", "register", "render"];

/// What the programs of Consul and Docker themselves read.
const KNOWN: [(&str, &str, &str); 15] = [
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

/// Docker's own programs take any value but the empty one for yes.
const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";

/// Writes the variables over what the file says. An empty variable is as good as none.
pub(super) fn overlay(table: &mut Table, environment: impl Iterator<Item = (String, String)>) -> Result<(), Error> {
    let variables: BTreeMap<_, _> = environment.filter(|(_, value)| !value.is_empty()).collect();
    for (name, section, key) in KNOWN {
        if let Some(value) = variables.get(name) {
            set(table, name, section, key, value)?;
        }
    }
    if variables.contains_key(DOCKER_TLS_VERIFY) {
        set(table, DOCKER_TLS_VERIFY, "docker", "tls_verify", "true")?;
    }
    for (name, value) in variables.iter().filter(|(name, _)| !FLAGS.contains(&name.as_str())) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let rest = rest.to_ascii_lowercase();
        let place = SECTIONS.iter().find_map(|section| Some((section, rest.strip_prefix(section)?.strip_prefix('_')?)));
        let Some((section, key)) = place else {
            let sections = SECTIONS.join("_, ").to_ascii_uppercase();
            let message = format!("there is no such setting: after {PREFIX} comes one of {sections}_");
            return Err(Error::Environment { name: name.clone(), message });
        };
        set(table, name, section, key, value)?;
    }
    Ok(())
}

/// Sets one key, as text or as what the text means: whichever the setting takes.
fn set(table: &mut Table, name: &str, section: &str, key: &str, text: &str) -> Result<(), Error> {
    let meant = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    let text = Value::String(text.to_owned());
    let mut error = None;
    for value in [Some(text), meant].into_iter().flatten().filter(|value| !value.is_table() && !value.is_array()) {
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
    fn our_own_names_beat_those_of_consul_and_docker() {
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
        assert!(error("PORTREEVE_REGISTER_IPP", "x").contains("unknown field `ipp`"));
        assert!(error("PORTREEVE_REGISTRE_IP", "x").contains("REGISTER"));
    }
}
