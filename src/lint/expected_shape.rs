//! Finds values whose kind Compose does not accept. Pure.

use super::{
    finding::SourcePosition,
    yaml::{YamlNode, YamlValue},
};

/// A value that Compose refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShapeProblem {
    pub(super) position: SourcePosition,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The kind of value that Compose accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExpectedShape {
    /// A mapping of names to text, or a list of `NAME=value`.
    Pairs,
    /// A list of scalars.
    Texts,
    /// A list of scalars or mappings.
    Items,
    /// One scalar.
    Text,
    Mapping,
}

const SERVICE_SHAPES: [(&str, ExpectedShape); 9] = [
    ("environment", ExpectedShape::Pairs),
    ("labels", ExpectedShape::Pairs),
    ("ports", ExpectedShape::Items),
    ("expose", ExpectedShape::Texts),
    ("profiles", ExpectedShape::Texts),
    ("deploy", ExpectedShape::Mapping),
    ("image", ExpectedShape::Text),
    ("network_mode", ExpectedShape::Text),
    ("scale", ExpectedShape::Text),
];
const DEPLOY_SHAPES: [(&str, ExpectedShape); 2] = [("labels", ExpectedShape::Pairs), ("replicas", ExpectedShape::Text)];

/// The problems in one service, as far as `lint` examines it. A key without a value is not a problem.
pub(super) fn service_problems(name: &str, node: &YamlNode) -> Vec<ShapeProblem> {
    let own_problem = shape_problem(name, node, ExpectedShape::Mapping);
    let parts = SERVICE_SHAPES.iter().filter_map(|(key, shape)| Some(value_problems(key, node.get(key)?, *shape)));
    let deploy = node.get("deploy");
    let inside = DEPLOY_SHAPES
        .iter()
        .filter_map(|(key, shape)| Some(value_problems(&format!("deploy.{key}"), deploy?.get(key)?, *shape)));
    own_problem.into_iter().chain(parts.chain(inside).flatten()).collect()
}

fn value_problems(key: &str, node: &YamlNode, shape: ExpectedShape) -> Vec<ShapeProblem> {
    let own_problem = shape_problem(key, node, shape).map(|problem| match (shape, node.text()) {
        (ExpectedShape::Pairs | ExpectedShape::Texts | ExpectedShape::Items, Some(text)) => {
            problem.help(format!("write a list: - {text}"))
        }
        _ => problem,
    });
    let item = |item: &YamlNode| match shape {
        ExpectedShape::Pairs | ExpectedShape::Texts => {
            let problem = shape_problem(&format!("an item of {key}"), item, ExpectedShape::Text)?;
            let pair = item.pairs().first().and_then(|(name, value)| Some((name.text()?, value.text()?)));
            Some(match pair.filter(|_| shape == ExpectedShape::Pairs) {
                Some((name, value)) => problem.help(format!("write - {name}={value}")),
                None => problem,
            })
        }
        ExpectedShape::Items if !item.items().is_empty() => {
            shape_problem(&format!("an item of {key}"), item, ExpectedShape::Text)
        }
        _ => None,
    };
    let value = |(name, value): &(YamlNode, YamlNode)| {
        let problem = shape_problem(&format!("{key}.{}", name.text().unwrap_or_default()), value, ExpectedShape::Text)?;
        let texts: Option<Vec<_>> = value.items().iter().map(YamlNode::text).collect();
        Some(match texts.filter(|texts| !texts.is_empty()) {
            Some(texts) => problem.help(format!("write one text: \"{}\"", texts.join(","))),
            None => problem,
        })
    };
    let values = node.pairs().iter().filter(|_| shape == ExpectedShape::Pairs).filter_map(value);
    own_problem.into_iter().chain(node.items().iter().filter_map(item)).chain(values).collect()
}

fn shape_problem(what: &str, node: &YamlNode, shape: ExpectedShape) -> Option<ShapeProblem> {
    let fits = match &node.value {
        YamlValue::Scalar { .. } => shape == ExpectedShape::Text || node.text().is_none(),
        YamlValue::Sequence(_) => matches!(shape, ExpectedShape::Pairs | ExpectedShape::Texts | ExpectedShape::Items),
        YamlValue::Mapping(_) => matches!(shape, ExpectedShape::Pairs | ExpectedShape::Mapping),
    };
    let (actual, expected) = (node_kind(node), shape_text(shape));
    let message = format!("{what} is {actual}, but Compose accepts only {expected}");
    (!fits).then_some(ShapeProblem { position: node.position, message, help: None })
}

/// The kind of a node, for messages.
pub(super) fn node_kind(node: &YamlNode) -> &'static str {
    match &node.value {
        YamlValue::Scalar { .. } => "a single value",
        YamlValue::Sequence(_) => "a list",
        YamlValue::Mapping(_) => "a mapping",
    }
}

fn shape_text(shape: ExpectedShape) -> &'static str {
    match shape {
        ExpectedShape::Pairs => "a mapping, or a list of NAME=value",
        ExpectedShape::Texts | ExpectedShape::Items => "a list",
        ExpectedShape::Text => "a single value",
        ExpectedShape::Mapping => "a mapping",
    }
}

impl ShapeProblem {
    fn help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }
}
