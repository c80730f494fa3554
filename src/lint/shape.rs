//! Values of another kind than Compose takes at their place. Pure.

use super::{
    finding::Place,
    yaml::{Node, Value},
};

/// A value that Compose refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misshapen {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// What Compose takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
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

const SERVICE: [(&str, Shape); 9] = [
    ("environment", Shape::Pairs),
    ("labels", Shape::Pairs),
    ("ports", Shape::Items),
    ("expose", Shape::Texts),
    ("profiles", Shape::Texts),
    ("deploy", Shape::Mapping),
    ("image", Shape::Text),
    ("network_mode", Shape::Text),
    ("scale", Shape::Text),
];
const DEPLOY: [(&str, Shape); 2] = [("labels", Shape::Pairs), ("replicas", Shape::Text)];

/// What is misshapen in one service, as far as we look at it. A key without a value is none.
pub(super) fn of_service(name: &str, node: &Node) -> Vec<Misshapen> {
    let whole = misfit(name, node, Shape::Mapping);
    let parts = SERVICE.iter().filter_map(|(key, shape)| Some(of_value(key, node.get(key)?, *shape)));
    let deploy = node.get("deploy");
    let inside =
        DEPLOY.iter().filter_map(|(key, shape)| Some(of_value(&format!("deploy.{key}"), deploy?.get(key)?, *shape)));
    whole.into_iter().chain(parts.chain(inside).flatten()).collect()
}

fn of_value(key: &str, node: &Node, shape: Shape) -> Vec<Misshapen> {
    let whole = misfit(key, node, shape).map(|found| match (shape, node.text()) {
        (Shape::Pairs | Shape::Texts | Shape::Items, Some(text)) => found.help(format!("write a list: - {text}")),
        _ => found,
    });
    let item = |item: &Node| match shape {
        Shape::Pairs | Shape::Texts => {
            let found = misfit(&format!("an item of {key}"), item, Shape::Text)?;
            let pair = item.pairs().first().and_then(|(name, value)| Some((name.text()?, value.text()?)));
            Some(match pair.filter(|_| shape == Shape::Pairs) {
                Some((name, value)) => found.help(format!("write - {name}={value}")),
                None => found,
            })
        }
        Shape::Items if !item.items().is_empty() => misfit(&format!("an item of {key}"), item, Shape::Text),
        _ => None,
    };
    let value = |(name, value): &(Node, Node)| {
        let found = misfit(&format!("{key}.{}", name.text().unwrap_or_default()), value, Shape::Text)?;
        let texts: Option<Vec<_>> = value.items().iter().map(Node::text).collect();
        Some(match texts.filter(|texts| !texts.is_empty()) {
            Some(texts) => found.help(format!("write one text: \"{}\"", texts.join(","))),
            None => found,
        })
    };
    let values = node.pairs().iter().filter(|_| shape == Shape::Pairs).filter_map(value);
    whole.into_iter().chain(node.items().iter().filter_map(item)).chain(values).collect()
}

fn misfit(what: &str, node: &Node, shape: Shape) -> Option<Misshapen> {
    let fits = match &node.value {
        Value::Scalar { .. } => shape == Shape::Text || node.text().is_none(),
        Value::Sequence(_) => matches!(shape, Shape::Pairs | Shape::Texts | Shape::Items),
        Value::Mapping(_) => matches!(shape, Shape::Pairs | Shape::Mapping),
    };
    let (is, takes) = (kind(node), takes(shape));
    let message = format!("{what} is {is}, and Compose takes only {takes}");
    (!fits).then_some(Misshapen { place: node.place, message, help: None })
}

/// What a node is, for people.
pub(super) fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar { .. } => "a single value",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}

fn takes(shape: Shape) -> &'static str {
    match shape {
        Shape::Pairs => "a mapping, or a list of NAME=value",
        Shape::Texts | Shape::Items => "a list",
        Shape::Text => "a single value",
        Shape::Mapping => "a mapping",
    }
}

impl Misshapen {
    fn help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }
}
