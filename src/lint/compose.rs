//! What a Compose file says of its services, as far as we look at it. Pure.

use super::{
    finding::Place,
    plain::{self, Changed},
    publication::{self, Publication},
    shape::{self, Misshapen},
    text::Text,
    yaml::{Invalid, Node, Value},
};
use crate::docker::Port;

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) image: Option<Scalar>,
    pub(super) network: Network,
    /// It is based on another service.
    pub(super) extends: bool,
    /// How many containers, if that is said.
    pub(super) replicas: Option<u64>,
    /// Variables and labels, in the order in which they were written; the labels last.
    pub(super) entries: Vec<Entry>,
    /// Labels of the swarm service, which its containers do not have.
    pub(super) deploy_labels: Vec<Entry>,
    pub(super) ports: Vec<Publication>,
    pub(super) exposed: Vec<Port>,
    /// Profiles of which one has to be active; without any the service is always started.
    pub(super) profiles: Vec<String>,
    /// What Compose refuses.
    pub(super) misshapen: Vec<Misshapen>,
    /// What is not looked into: where, and what.
    pub(super) unseen: Vec<(Place, String)>,
}

/// A scalar and its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) place: Place,
    pub(super) text: Text,
}

/// Whose network the containers use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Network {
    /// One of their own.
    #[default]
    Own,
    /// The host's.
    Host,
    /// That of another container.
    Shared,
    /// None.
    None,
}

/// A variable or label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) label: bool,
    pub(super) name: String,
    pub(super) value: Text,
    /// What YAML made of the value, if that is not what was written.
    pub(super) changed: Option<Changed>,
    pub(super) place: Place,
}

/// Whether a document is meant for Compose.
pub(super) fn is_compose(document: &Node) -> bool {
    ["services", "include"].iter().any(|key| document.get(key).is_some())
}

/// The services of a document.
///
/// # Errors
/// They are no mapping.
pub(super) fn services(document: &Node) -> Result<Vec<Service>, Invalid> {
    let Some(node) = document.get("services") else { return Ok(Vec::new()) };
    match &node.value {
        Value::Mapping(pairs) => Ok(pairs.iter().map(service).collect()),
        Value::Scalar { .. } if node.text().is_none() => Ok(Vec::new()),
        _ => {
            let message = format!("services is {}, and Compose takes only a mapping of their names", shape::kind(node));
            Err(Invalid { place: node.place, message })
        }
    }
}

fn service((key, node): &(Node, Node)) -> Service {
    let deploy = |key: &str| node.get("deploy").and_then(|deploy| deploy.get(key));
    let replicas = deploy("replicas").or_else(|| node.get("scale")).and_then(Node::text);
    let ports: Vec<_> = items(node, "ports").iter().map(publication::read).collect();
    let exposed =
        items(node, "expose").iter().filter_map(|item| Some((item.place, publication::exposed(item.text()?))));
    let exposed: Vec<_> = exposed.collect();
    let refused = ports.iter().map(|port| (port.place, port.problem.as_ref()));
    let refused = refused.chain(exposed.iter().map(|(place, (_, problem))| (*place, problem.as_ref())));
    let refused = refused
        .filter_map(|(place, problem)| Some(Misshapen { place, message: problem?.clone(), help: None }))
        .collect::<Vec<_>>();
    let unread = ports.iter().filter(|port| port.target.is_none() && port.problem.is_none());
    let unread = unread.map(|port| (port.place, "the port inside the container depends on a variable".to_owned()));
    Service {
        name: key.text().unwrap_or_default().to_owned(),
        place: key.place,
        image: node.get("image").and_then(scalar),
        network: network(node.get("network_mode").and_then(Node::text)),
        extends: node.get("extends").is_some(),
        replicas: replicas.and_then(|text| text.parse().ok()),
        entries: entries(node.get("environment"), false).chain(entries(node.get("labels"), true)).collect(),
        deploy_labels: entries(deploy("labels"), true).collect(),
        exposed: exposed.into_iter().flat_map(|(_, (ports, _))| ports).collect(),
        profiles: items(node, "profiles").iter().filter_map(Node::text).map(str::to_owned).collect(),
        misshapen: shape::of_service(key.text().unwrap_or_default(), node).into_iter().chain(refused).collect(),
        unseen: unseen(node).into_iter().chain(unread).collect(),
        ports,
    }
}

impl Service {
    /// The entries that the container gets: of those with one name the last.
    pub(super) fn effective(&self) -> impl Iterator<Item = &Entry> {
        let is_last = |(at, entry): &(usize, &Entry)| !self.entries[at + 1..].iter().any(|later| later.replaces(entry));
        self.entries.iter().enumerate().filter(is_last).map(|(_, entry)| entry)
    }

    /// Whether both can run at the same time: neither is only an alternative to the other by its profile.
    pub(super) fn runs_beside(&self, other: &Self) -> bool {
        let shared = || self.profiles.iter().any(|profile| other.profiles.contains(profile));
        self.profiles.is_empty() || other.profiles.is_empty() || shared()
    }
}

impl Entry {
    /// Whether it is the same variable or label as an earlier one.
    pub(super) fn replaces(&self, earlier: &Self) -> bool {
        self.label == earlier.label && self.name == earlier.name
    }
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).map(Node::items).unwrap_or_default()
}

fn scalar(node: &Node) -> Option<Scalar> {
    Some(Scalar { place: node.place, text: Text::read(node.text()?) })
}

fn network(mode: Option<&str>) -> Network {
    match mode {
        Some("host") => Network::Host,
        Some("none") => Network::None,
        Some(mode) if mode.starts_with("service:") || mode.starts_with("container:") => Network::Shared,
        _ => Network::Own,
    }
}

/// A list of `NAME=value`, or a mapping. A variable without a value comes from the shell that runs Compose.
fn entries(node: Option<&Node>, label: bool) -> impl Iterator<Item = Entry> {
    let nothing = move || if label { Text::default() } else { Text::unknown() };
    let item = move |item: &Node| {
        let text = item.text()?;
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let value = value.map_or_else(nothing, Text::read);
        Some(Entry { label, name: name.to_owned(), value, changed: None, place: item.place })
    };
    let pair = move |(key, value): &(Node, Node)| {
        if !matches!(value.value, Value::Scalar { .. }) {
            return None;
        }
        let changed = value.plain().and_then(plain::changed);
        let text = changed.as_ref().map(|changed| changed.text.as_str()).or_else(|| value.text());
        let text = text.map_or_else(nothing, Text::read);
        Some(Entry { label, name: key.text()?.to_owned(), value: text, changed, place: key.place })
    };
    let entries: Vec<_> = match node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.iter().filter_map(item).collect(),
        Some(Value::Mapping(pairs)) => pairs.iter().filter_map(pair).collect(),
        _ => Vec::new(),
    };
    entries.into_iter()
}

/// What may bring more variables, labels or ports from elsewhere.
fn unseen(node: &Node) -> Vec<(Place, String)> {
    let brings = [("env_file", "variables"), ("label_file", "labels"), ("extends", "everything")];
    let found =
        brings.iter().filter_map(|(key, what)| Some((node.pairs().iter().find(|(k, _)| k.text() == Some(key))?, what)));
    found
        .map(|((key, _), what)| (key.place, format!("{}, which may bring {what}", key.text().unwrap_or_default())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::yaml;

    fn read(text: &str) -> Vec<Service> {
        services(&yaml::read(text).expect("valid").remove(0)).expect("a mapping")
    }

    #[test]
    fn lists_and_mappings_say_the_same() {
        let list = read(
            "services:\n  web:\n    environment:\n      - SERVICE_NAME=web\n      - SERVICE_TAGS\n    labels: [portreeve.id=x]\n",
        );
        let mapping = read(
            "services:\n  web:\n    environment:\n      SERVICE_NAME: web\n      SERVICE_TAGS:\n    labels: {portreeve.id: x}\n",
        );
        let pairs = |services: &[Service]| {
            let pair = |entry: &Entry| (entry.label, entry.name.clone(), entry.value.value.clone());
            services[0].entries.iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(pairs(&list), pairs(&mapping));
        assert_eq!(list[0].entries.len(), 3);
        assert!(!list[0].entries[1].value.is_known());
        assert_eq!(list[0].entries[0].place, Place { line: 4, column: 9 });
        assert_eq!(mapping[0].entries[0].place, Place { line: 4, column: 7 });
    }

    #[test]
    fn what_surrounds_them() {
        let text = "services:\n  a:\n    image: nginx:1\n    network_mode: host\n    scale: 2\n    env_file: .env\n    expose: [\"80\", 53/udp]\n  b:\n    deploy: {replicas: 3, labels: {SERVICE_NAME: x}}\n";
        let services = read(text);
        assert_eq!(
            (services[0].network, services[0].replicas, services[1].replicas),
            (Network::Host, Some(2), Some(3))
        );
        assert_eq!(services[0].exposed.len(), 2);
        assert_eq!(services[0].unseen.len(), 1);
        assert_eq!(services[1].deploy_labels.len(), 1);
        assert_eq!(read("x: 1\n"), []);
        assert_eq!(read("services:\n"), []);
    }
}
