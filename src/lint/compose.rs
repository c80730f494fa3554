//! The services of a Compose file, as far as `lint` examines them. Pure.

use super::{
    coercion::{self, CoercedScalar},
    expected_shape::{self, ShapeProblem},
    finding::SourcePosition,
    port_mapping::{self, PortMapping},
    text::ComposeText,
    yaml::{YamlError, YamlNode, YamlValue},
};
use crate::docker::Port;

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ComposeService {
    pub(super) name: String,
    pub(super) position: SourcePosition,
    pub(super) image: Option<PositionedText>,
    pub(super) network: NetworkMode,
    /// Whether it is based on another service.
    pub(super) extends: bool,
    /// The number of containers, if it is set.
    pub(super) replicas: Option<u64>,
    /// Variables and labels in the order in which they were written, the variables first.
    pub(super) variables: Vec<VariableOrLabel>,
    /// Labels of the swarm service, which its containers do not get.
    pub(super) deploy_labels: Vec<VariableOrLabel>,
    pub(super) ports: Vec<PortMapping>,
    pub(super) exposed: Vec<Port>,
    /// Profiles of which one must be active. A service without profiles is always started.
    pub(super) profiles: Vec<String>,
    /// The problems for which Compose refuses the service.
    pub(super) shape_problems: Vec<ShapeProblem>,
    /// The parts that are not examined, each with its position and a description.
    pub(super) not_examined: Vec<(SourcePosition, String)>,
}

/// A scalar and its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PositionedText {
    pub(super) position: SourcePosition,
    pub(super) text: ComposeText,
}

/// The network that the containers use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NetworkMode {
    /// A network of their own.
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
pub(super) struct VariableOrLabel {
    pub(super) is_label: bool,
    pub(super) name: String,
    pub(super) value: ComposeText,
    /// The converted value, if YAML changes it.
    pub(super) coerced: Option<CoercedScalar>,
    pub(super) position: SourcePosition,
}

/// Whether a document is a Compose file.
pub(super) fn is_compose(document: &YamlNode) -> bool {
    ["services", "include"].iter().any(|key| document.get(key).is_some())
}

/// The services of a document.
///
/// # Errors
/// The services are not a mapping.
pub(super) fn services(document: &YamlNode) -> Result<Vec<ComposeService>, YamlError> {
    let Some(node) = document.get("services") else { return Ok(Vec::new()) };
    match &node.value {
        YamlValue::Mapping(pairs) => Ok(pairs.iter().map(service).collect()),
        YamlValue::Scalar { .. } if node.text().is_none() => Ok(Vec::new()),
        _ => {
            let message = format!(
                "services is {}, but Compose accepts only a mapping of their names",
                expected_shape::node_kind(node)
            );
            Err(YamlError { position: node.position, message })
        }
    }
}

fn service((key, node): &(YamlNode, YamlNode)) -> ComposeService {
    let deploy = |key: &str| node.get("deploy").and_then(|deploy| deploy.get(key));
    let replicas = deploy("replicas").or_else(|| node.get("scale")).and_then(YamlNode::text);
    let ports: Vec<_> = items(node, "ports").iter().map(port_mapping::parse).collect();
    let exposed =
        items(node, "expose").iter().filter_map(|item| Some((item.position, port_mapping::parse_expose(item.text()?))));
    let exposed: Vec<_> = exposed.collect();
    let refused = ports.iter().map(|port| (port.position, port.problem.as_ref()));
    let refused = refused.chain(exposed.iter().map(|(position, (_, problem))| (*position, problem.as_ref())));
    let refused = refused
        .filter_map(|(position, problem)| Some(ShapeProblem { position, message: problem?.clone(), help: None }))
        .collect::<Vec<_>>();
    let unexamined_ports = ports.iter().filter(|port| port.container_ports.is_none() && port.problem.is_none());
    let unexamined_ports =
        unexamined_ports.map(|port| (port.position, "the port inside the container depends on a variable".to_owned()));
    ComposeService {
        name: key.text().unwrap_or_default().to_owned(),
        position: key.position,
        image: node.get("image").and_then(scalar),
        network: network(node.get("network_mode").and_then(YamlNode::text)),
        extends: node.get("extends").is_some(),
        replicas: replicas.and_then(|text| text.parse().ok()),
        variables: variables(node.get("environment"), false).chain(variables(node.get("labels"), true)).collect(),
        deploy_labels: variables(deploy("labels"), true).collect(),
        exposed: exposed.into_iter().flat_map(|(_, (ports, _))| ports).collect(),
        profiles: items(node, "profiles").iter().filter_map(YamlNode::text).map(str::to_owned).collect(),
        shape_problems: expected_shape::service_problems(key.text().unwrap_or_default(), node)
            .into_iter()
            .chain(refused)
            .collect(),
        not_examined: not_examined(node).into_iter().chain(unexamined_ports).collect(),
        ports,
    }
}

impl ComposeService {
    /// The variables and labels that the container gets: of several with the same name, the last one.
    pub(super) fn effective_variables(&self) -> impl Iterator<Item = &VariableOrLabel> {
        let is_last = |(at, entry): &(usize, &VariableOrLabel)| {
            !self.variables[at + 1..].iter().any(|later| later.overrides(entry))
        };
        self.variables.iter().enumerate().filter(is_last).map(|(_, entry)| entry)
    }

    /// Whether both can run at the same time: their profiles do not exclude each other.
    pub(super) fn can_run_beside(&self, other: &Self) -> bool {
        let shared = || self.profiles.iter().any(|profile| other.profiles.contains(profile));
        self.profiles.is_empty() || other.profiles.is_empty() || shared()
    }
}

impl VariableOrLabel {
    /// Whether it overrides an earlier variable or label.
    pub(super) fn overrides(&self, earlier: &Self) -> bool {
        self.is_label == earlier.is_label && self.name == earlier.name
    }
}

fn items<'a>(node: &'a YamlNode, key: &str) -> &'a [YamlNode] {
    node.get(key).map(YamlNode::items).unwrap_or_default()
}

fn scalar(node: &YamlNode) -> Option<PositionedText> {
    Some(PositionedText { position: node.position, text: ComposeText::parse(node.text()?) })
}

fn network(mode: Option<&str>) -> NetworkMode {
    match mode {
        Some("host") => NetworkMode::Host,
        Some("none") => NetworkMode::None,
        Some(mode) if mode.starts_with("service:") || mode.starts_with("container:") => NetworkMode::Shared,
        _ => NetworkMode::Own,
    }
}

/// Reads a list of `NAME=value`, or a mapping. A variable without a value is taken from the shell that runs Compose.
fn variables(node: Option<&YamlNode>, label: bool) -> impl Iterator<Item = VariableOrLabel> {
    let missing_value = move || if label { ComposeText::default() } else { ComposeText::unknown() };
    let item = move |item: &YamlNode| {
        let text = item.text()?;
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let value = value.map_or_else(missing_value, ComposeText::parse);
        Some(VariableOrLabel { is_label: label, name: name.to_owned(), value, coerced: None, position: item.position })
    };
    let pair = move |(key, value): &(YamlNode, YamlNode)| {
        if !matches!(value.value, YamlValue::Scalar { .. }) {
            return None;
        }
        let coerced = value.plain().and_then(coercion::coerced);
        let text = coerced.as_ref().map(|coerced| coerced.text.as_str()).or_else(|| value.text());
        let text = text.map_or_else(missing_value, ComposeText::parse);
        Some(VariableOrLabel {
            is_label: label,
            name: key.text()?.to_owned(),
            value: text,
            coerced,
            position: key.position,
        })
    };
    let entries: Vec<_> = match node.map(|node| &node.value) {
        Some(YamlValue::Sequence(items)) => items.iter().filter_map(item).collect(),
        Some(YamlValue::Mapping(pairs)) => pairs.iter().filter_map(pair).collect(),
        _ => Vec::new(),
    };
    entries.into_iter()
}

/// The keys that may add variables, labels or ports from elsewhere, each with its position and a description.
fn not_examined(node: &YamlNode) -> Vec<(SourcePosition, String)> {
    let sources = [("env_file", "variables"), ("label_file", "labels"), ("extends", "everything")];
    let found = sources
        .iter()
        .filter_map(|(key, what)| Some((node.pairs().iter().find(|(k, _)| k.text() == Some(key))?, what)));
    found
        .map(|((key, _), what)| (key.position, format!("{}, which may bring {what}", key.text().unwrap_or_default())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::yaml;

    fn read(text: &str) -> Vec<ComposeService> {
        services(&yaml::parse_documents(text).expect("valid").remove(0)).expect("a mapping")
    }

    #[test]
    fn lists_and_mappings_give_the_same() {
        let list = read(
            "services:\n  web:\n    environment:\n      - SERVICE_NAME=web\n      - SERVICE_TAGS\n    labels: [portreeve.id=x]\n",
        );
        let mapping = read(
            "services:\n  web:\n    environment:\n      SERVICE_NAME: web\n      SERVICE_TAGS:\n    labels: {portreeve.id: x}\n",
        );
        let pairs = |services: &[ComposeService]| {
            let pair = |entry: &VariableOrLabel| (entry.is_label, entry.name.clone(), entry.value.value.clone());
            services[0].variables.iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(pairs(&list), pairs(&mapping));
        assert_eq!(list[0].variables.len(), 3);
        assert!(!list[0].variables[1].value.is_known());
        assert_eq!(list[0].variables[0].position, SourcePosition { line: 4, column: 9 });
        assert_eq!(mapping[0].variables[0].position, SourcePosition { line: 4, column: 7 });
    }

    #[test]
    fn other_settings_of_a_service() {
        let text = "services:\n  a:\n    image: nginx:1\n    network_mode: host\n    scale: 2\n    env_file: .env\n    expose: [\"80\", 53/udp]\n  b:\n    deploy: {replicas: 3, labels: {SERVICE_NAME: x}}\n";
        let services = read(text);
        assert_eq!(
            (services[0].network, services[0].replicas, services[1].replicas),
            (NetworkMode::Host, Some(2), Some(3))
        );
        assert_eq!(services[0].exposed.len(), 2);
        assert_eq!(services[0].not_examined.len(), 1);
        assert_eq!(services[1].deploy_labels.len(), 1);
        assert_eq!(read("x: 1\n"), []);
        assert_eq!(read("services:\n"), []);
    }
}
