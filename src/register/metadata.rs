//! The metadata of a container: `SERVICE_*` variables and labels, and `portreeve.*` labels. Pure.
//!
//! `SERVICE_A_B` and `portreeve.a.b` are the same key `a_b`. A prefix of the key may limit it to a port
//! (`SERVICE_80_NAME`), to a port and a protocol (`SERVICE_53_UDP_NAME`), or to a range of ports
//! (`SERVICE_10000-20000_IGNORE`). The precedence is registrator's, as measured on the real program (metadata for a
//! port precedes global metadata, whatever its source; a label precedes a variable), with one more source on top.

use std::{collections::BTreeMap, str::FromStr};

use crate::{
    core::value,
    docker::{Container, Port, Protocol},
};

/// All metadata of a container, in ascending order of precedence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    declarations: Vec<Declaration>,
}

/// One variable or label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Declaration {
    scope: KeyScope,
    source: MetadataSource,
    order: usize,
    key: String,
    value: String,
    name: String,
}

/// The ports that a key applies to, the least specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyScope {
    /// All ports.
    Global,
    /// The ports from the first to the last.
    Range(u16, u16),
    /// One port, with any protocol.
    Port(u16),
    /// One port with one protocol.
    PortAndProtocol(Port),
}

/// Where a key was found, in ascending order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataSource {
    /// The environment of the container.
    Variable,
    /// A label in registrator's style: `SERVICE_NAME`.
    ServiceLabel,
    /// A label in Docker's style: `portreeve.name`.
    PortreeveLabel,
}

/// The settings of one port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMetadata<'a> {
    settings: BTreeMap<&'a str, Setting<'a>>,
}

/// The value that has precedence for a key, and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The value as it was written, without surrounding spaces and quotes.
    pub value: &'a str,
    /// Whether the key is limited to certain ports.
    pub is_port_specific: bool,
    /// The name of the variable or label.
    pub name: &'a str,
    /// The kind of source in which it was found.
    pub source: MetadataSource,
}

impl Metadata {
    /// Reads a container's variables and labels.
    pub fn read(container: &Container) -> Self {
        let variables = container.env.iter().map(|(name, value)| (name, value, false));
        let labels = container.labels.iter().map(|(name, value)| (name, value, true));
        let pairs = variables.chain(labels).enumerate();
        let declarations =
            pairs.filter_map(|(order, (name, value, label))| Declaration::parse(order, name, value, label));
        let mut declarations: Vec<_> = declarations.collect();
        declarations.sort_unstable();
        Self { declarations }
    }

    /// The settings of one port. An empty value of a key that is limited to ports is ignored.
    pub fn for_port(&self, port: Port) -> PortMetadata<'_> {
        PortMetadata { settings: self.applicable(port).collect() }
    }

    /// All settings of one port by key: first the one that has precedence, then the others in descending order.
    pub fn settings_by_precedence(&self, port: Port) -> BTreeMap<&str, Vec<Setting<'_>>> {
        let mut contenders = BTreeMap::<_, Vec<_>>::new();
        for (key, setting) in self.applicable(port) {
            contenders.entry(key).or_default().insert(0, setting);
        }
        contenders
    }

    /// Every declaration, whatever its scope, in ascending order of precedence.
    pub fn declarations(&self) -> impl Iterator<Item = (KeyScope, &str, Setting<'_>)> {
        self.declarations.iter().map(|declaration| (declaration.scope, declaration.key.as_str(), declaration.setting()))
    }

    /// The settings that apply to a port, in ascending order of precedence.
    fn applicable(&self, port: Port) -> impl Iterator<Item = (&str, Setting<'_>)> {
        let applicable = self.declarations().filter(move |(scope, ..)| scope.applies_to(port));
        applicable
            .map(|(_, key, setting)| (key, setting))
            .filter(|(_, setting)| !(setting.is_port_specific && setting.value.is_empty()))
    }
}

impl<'a> PortMetadata<'a> {
    /// The setting of a key; `None` if its value is empty.
    pub fn get(&self, key: &str) -> Option<Setting<'a>> {
        self.settings.get(key).copied().filter(|setting| !setting.value.is_empty())
    }

    /// The value of a key; `None` if it is empty.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.get(key).map(|setting| setting.value)
    }

    /// Whether a switch is on.
    pub fn is_enabled(&self, key: &str) -> bool {
        self.value(key).is_some_and(is_truthy)
    }

    /// All keys with their settings, including empty ones, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Setting<'a>)> {
        self.settings.iter().map(|(key, setting)| (*key, *setting))
    }
}

/// Whether a value means yes. As in registrator, any value does, except for what Go's `strconv.ParseBool` reads as
/// false, `no` and `off`.
pub(crate) fn is_truthy(text: &str) -> bool {
    value::parse_boolean(text) != Some(false) && !["no", "off"].contains(&text.to_ascii_lowercase().as_str())
}

impl Declaration {
    fn setting(&self) -> Setting<'_> {
        let is_port_specific = self.scope != KeyScope::Global;
        Setting { value: &self.value, is_port_specific, name: &self.name, source: self.source }
    }

    fn parse(order: usize, spelled: &str, value: &str, label: bool) -> Option<Self> {
        // The first line of an env file may start with a byte order mark.
        let name = value::trim(spelled);
        let (source, text) = match (name.strip_prefix("SERVICE_"), name.strip_prefix("portreeve.")) {
            (Some(text), _) if label => (MetadataSource::ServiceLabel, text.to_lowercase()),
            (Some(text), _) => (MetadataSource::Variable, text.to_lowercase()),
            (_, Some(text)) if label => (MetadataSource::PortreeveLabel, text.replace('.', "_").to_lowercase()),
            _ => return None,
        };
        let (scope, key) = parse_scope(&text)?;
        let (value, spelled) = (value::clean(value).to_owned(), spelled.to_owned());
        (!key.is_empty()).then(|| Self { scope, source, order, key: key.to_owned(), value, name: spelled })
    }
}

impl KeyScope {
    /// Whether the key applies to a port.
    pub fn applies_to(self, port: Port) -> bool {
        match self {
            Self::Global => true,
            Self::Range(first, last) => (first..=last).contains(&port.number),
            Self::Port(number) => number == port.number,
            Self::PortAndProtocol(only) => only == port,
        }
    }
}

/// Splits `80_tcp_name` into its scope and the key; `None` if it can match no port.
fn parse_scope(text: &str) -> Option<(KeyScope, &str)> {
    let Some((prefix, key)) = text.split_once('_') else { return Some((KeyScope::Global, text)) };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((first, last)) = prefix.split_once('-')
        && digits(first)
        && digits(last)
    {
        return Some((KeyScope::Range(parse_port(first)?, parse_port(last)?), key));
    }
    if !digits(prefix) {
        return Some((KeyScope::Global, text));
    }
    let number = parse_port(prefix)?;
    if let Some((protocol, key)) = key.split_once('_')
        && let Ok(protocol) = Protocol::from_str(protocol)
    {
        return Some((KeyScope::PortAndProtocol(Port { number, protocol }), key));
    }
    Some((KeyScope::Port(number), key))
}

/// A port as Docker writes it: `080` is not one, as in registrator.
fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|number: &u16| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::container;

    fn won<'a>(pairs: &'a [(&'a str, &'a str)], port: &str, key: &str) -> Option<String> {
        let is_label = |name: &&(&str, &str)| name.0.starts_with("label ") || name.0.starts_with("portreeve.");
        let owned = |(name, value): &(&str, &str)| (name.trim_start_matches("label ").to_owned(), (*value).to_owned());
        let mut container = container("web");
        container.env = pairs.iter().filter(|pair| !is_label(pair)).map(owned).collect();
        container.labels = pairs.iter().filter(is_label).map(owned).collect();
        let metadata = Metadata::read(&container);
        metadata.for_port(port.parse().expect("a port")).value(key).map(str::to_owned)
    }

    #[test]
    fn precedence() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Pairs<'_>, Option<&str>); 14] = [
            (&[("SERVICE_NAME", "one"), ("SERVICE_NAME", "two")], Some("two")),
            (&[("SERVICE_80_NAME", "port"), ("label SERVICE_NAME", "global")], Some("port")),
            (&[("SERVICE_NAME", "variable"), ("label SERVICE_NAME", "label")], Some("label")),
            (&[("label SERVICE_NAME", "old"), ("portreeve.name", "new")], Some("new")),
            (&[("label SERVICE_80_NAME", "old"), ("portreeve.name", "new")], Some("old")),
            (&[("portreeve.80.name", "new"), ("SERVICE_80_TCP_NAME", "protocol")], Some("protocol")),
            (&[("SERVICE_80_UDP_NAME", "udp"), ("SERVICE_NAME", "global")], Some("global")),
            (&[("SERVICE_1-100_NAME", "range"), ("SERVICE_NAME", "global")], Some("range")),
            (&[("SERVICE_1-100_NAME", "range"), ("SERVICE_80_NAME", "port")], Some("port")),
            (&[("SERVICE_81-100_NAME", "range")], None),
            (&[("SERVICE_80_NAME", ""), ("SERVICE_NAME", "global")], Some("global")),
            (&[("label SERVICE_NAME", ""), ("SERVICE_NAME", "variable")], None),
            (&[("SERVICE_080_NAME", "octal"), ("SERVICE_9_NAME", "other")], None),
            (&[("service_NAME", "case"), ("SERVICE_name", "folded")], Some("folded")),
        ];
        for (pairs, expected) in cases {
            assert_eq!(won(pairs, "80/tcp", "name").as_deref(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn settings_without_precedence_are_known_too() {
        let mut web = container("web").env("SERVICE_NAME", "one").env("SERVICE_80_NAME", "").env("SERVICE_NAME", "two");
        web.labels.insert("portreeve.80.name".into(), "three".into());
        let metadata = Metadata::read(&web);
        let contenders = metadata.settings_by_precedence("80/tcp".parse().expect("a port"));
        let values: Vec<_> = contenders["name"].iter().map(|setting| setting.value).collect();
        assert_eq!(values, ["three", "two", "one"], "an empty value for a port is ignored");
        assert_eq!(
            metadata.declarations().last().map(|(scope, key, _)| (scope, key)),
            Some((KeyScope::Port(80), "name"))
        );
    }

    #[test]
    fn values_that_mean_no() {
        assert!(["0", "f", "F", "false", "False", "FALSE", "no", "No", "off"].into_iter().all(|text| !is_truthy(text)));
        assert!(["1", "t", "true", "yes", "on", "anything"].into_iter().all(is_truthy));
    }

    #[test]
    fn keys() {
        assert_eq!(won(&[("SERVICE_80", "eighty")], "80/tcp", "80").as_deref(), Some("eighty"));
        assert_eq!(won(&[("SERVICE_80_TCP", "t")], "80/tcp", "tcp").as_deref(), Some("t"));
        assert_eq!(won(&[("portreeve.80.check.http", "/h")], "80/tcp", "check_http").as_deref(), Some("/h"));
        assert_eq!(won(&[("SERVICE_ARGS", "a=b=c")], "80/tcp", "args").as_deref(), Some("a=b=c"));
    }
}
