//! Parses YAML into nodes with positions. Pure.
//!
//! Scalars stay text, so the image tag `1.10` does not become the number 1.1. Aliases and merge keys (`<<`) are
//! resolved.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle};

use super::finding::SourcePosition;

/// The limit of nesting, which no Compose file reaches. It protects against input that exhausts the stack.
const MAX_DEPTH: usize = 64;
/// The most nodes that aliases may add, for the same reason.
const MAX_ALIASED_NODES: usize = 100_000;

/// One value and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlNode {
    pub(super) position: SourcePosition,
    pub(super) value: YamlValue,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum YamlValue {
    /// Text. `plain` means without quotes and without `!!str`, so that `null` is the null value.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<YamlNode>),
    Mapping(Vec<(YamlNode, YamlNode)>),
}

/// Why a text is not YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct YamlError {
    /// The position of the error.
    pub position: SourcePosition,
    /// The reason.
    pub message: String,
}

impl YamlNode {
    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().find(|(found, _)| found.text() == Some(key)).map(|(_, value)| value)
    }

    /// The pairs of a mapping; empty for other nodes.
    pub(super) fn pairs(&self) -> &[(Self, Self)] {
        if let YamlValue::Mapping(pairs) = &self.value { pairs } else { &[] }
    }

    /// The items of a sequence; empty for other nodes.
    pub(super) fn items(&self) -> &[Self] {
        if let YamlValue::Sequence(items) = &self.value { items } else { &[] }
    }

    /// The text of a scalar; `None` if it is null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Scalar { text, plain } => {
                (!plain || !["", "~", "null", "Null", "NULL"].contains(&text.as_str())).then_some(text)
            }
            _ => None,
        }
    }

    /// The text of a scalar without quotes.
    pub(super) fn plain(&self) -> Option<&str> {
        self.text().filter(|_| matches!(self.value, YamlValue::Scalar { plain: true, .. }))
    }

    fn size(&self) -> usize {
        let inside = self.items().iter().map(Self::size).sum::<usize>();
        1 + inside + self.pairs().iter().map(|(key, value)| key.size() + value.size()).sum::<usize>()
    }
}

/// Reads all documents of a text.
///
/// # Errors
/// The text is not YAML, or a mapping has one key twice.
pub(super) fn parse_documents(text: &str) -> Result<Vec<YamlNode>, YamlError> {
    // Compose accepts files that start with a byte order mark.
    let mut text = Cow::Borrowed(text.trim_start_matches('\u{feff}'));
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let columns = 1 + text.lines().map(indentation).max().unwrap_or_default();
    let mut indented = IndentedLines { lines: BTreeSet::new(), columns };
    loop {
        match parse(&text, &indented) {
            Err(ParseFailure::Indentation(position))
                if can_be_indented(&text, position.line) && indented.lines.insert(position.line) =>
            {
                let spaces = " ".repeat(columns);
                let lines = text.split_inclusive('\n').zip(1..);
                let lines = lines.flat_map(|(line, number)| [if number == position.line { &spaces } else { "" }, line]);
                text = Cow::Owned(lines.collect());
            }
            Err(ParseFailure::Indentation(position)) => {
                return Err(yaml_error(position, "invalid indentation of a quoted scalar"));
            }
            Err(ParseFailure::Invalid(invalid)) => return Err(invalid),
            Ok(documents) => return Ok(documents),
        }
    }
}

/// Whether a line may be indented. `---` and `...` end a document even inside quotes.
fn can_be_indented(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line - 1).unwrap_or_default();
    !["---", "..."].iter().any(|end| line.starts_with(end))
}

/// Lines that start inside quotes and were indented more than all other lines. The parser requires an indentation,
/// Compose does not; both ignore spaces at the start of such lines.
struct IndentedLines {
    lines: BTreeSet<usize>,
    columns: usize,
}

impl IndentedLines {
    fn original_position(&self, marker: &Marker) -> SourcePosition {
        let columns = if self.lines.contains(&marker.line()) { self.columns } else { 0 };
        SourcePosition { line: marker.line(), column: (marker.col() + 1).saturating_sub(columns).max(1) }
    }
}

enum ParseFailure {
    /// A line that starts inside quotes.
    Indentation(SourcePosition),
    Invalid(YamlError),
}

fn parse(text: &str, indented: &IndentedLines) -> Result<Vec<YamlNode>, ParseFailure> {
    let mut builder = TreeBuilder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let position = indented.original_position(error.marker());
            match error.kind() {
                ErrorKind::InvalidQuotedScalarIndent | ErrorKind::TabInIndentation => {
                    ParseFailure::Indentation(position)
                }
                _ => ParseFailure::Invalid(YamlError { position, message: error.info() }),
            }
        })?;
        builder.handle_event(event, indented.original_position(&span.start)).map_err(ParseFailure::Invalid)?;
    }
    Ok(builder.documents)
}

#[derive(Default)]
struct TreeBuilder {
    documents: Vec<YamlNode>,
    /// Collections that have not ended yet, the outermost first.
    open_collections: Vec<OpenCollection>,
    anchors: HashMap<usize, YamlNode>,
    aliased: usize,
}

struct OpenCollection {
    position: SourcePosition,
    anchor: usize,
    is_mapping: bool,
    /// The items, or keys and values alternating in a mapping.
    nodes: Vec<YamlNode>,
}

impl TreeBuilder {
    fn handle_event(&mut self, event: Event<'_>, position: SourcePosition) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text =
                    tag.is_some_and(|tag| tag.core_suffix() == Some("str") || ["", "!"].contains(&tag.suffix()));
                let plain = style == ScalarStyle::Plain && !is_text;
                let value = YamlValue::Scalar { text: Cow::into_owned(text), plain };
                self.add_node(YamlNode { position, value }, anchor);
            }
            Event::Alias(anchor) => {
                // The parser refuses an alias without an anchor, so this alias is inside its own anchor.
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| yaml_error(position, "an alias inside its own anchor"))?;
                self.aliased += node.size();
                if self.aliased > MAX_ALIASED_NODES {
                    return Err(yaml_error(position, "the aliases make it too large"));
                }
                self.add_node(node, 0);
            }
            Event::SequenceStart(_, anchor, _) => self.open_collection(position, anchor, false)?,
            Event::MappingStart(_, anchor, _) => self.open_collection(position, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open_collections.pop().expect("the parser ends what it has begun");
                let value = if open.is_mapping {
                    YamlValue::Mapping(pairs(open.nodes)?)
                } else {
                    YamlValue::Sequence(open.nodes)
                };
                self.add_node(YamlNode { position: open.position, value }, open.anchor);
            }
            _ => {}
        }
        Ok(())
    }

    fn open_collection(&mut self, position: SourcePosition, anchor: usize, mapping: bool) -> Result<(), YamlError> {
        if self.open_collections.len() == MAX_DEPTH {
            return Err(yaml_error(position, "it is nested too deeply"));
        }
        self.open_collections.push(OpenCollection { position, anchor, is_mapping: mapping, nodes: Vec::new() });
        Ok(())
    }

    fn add_node(&mut self, node: YamlNode, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open_collections.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.documents.push(node),
        }
    }
}

fn yaml_error(position: SourcePosition, message: &str) -> YamlError {
    YamlError { position, message: message.to_owned() }
}

/// Makes pairs of alternating keys and values. The pairs of merge keys are appended if their key is missing.
fn pairs(nodes: Vec<YamlNode>) -> Result<Vec<(YamlNode, YamlNode)>, YamlError> {
    let (mut pairs, mut merged) = (Vec::<(YamlNode, YamlNode)>::new(), Vec::new());
    let mut nodes = nodes.into_iter();
    while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
        let earlier = pairs.iter().find(|(found, _)| found.value == key.value);
        if let (Some((first, _)), Some(text)) = (earlier, key.text()) {
            return Err(yaml_error(
                key.position,
                &format!("the key {text:?} is already defined at line {}", first.position.line),
            ));
        }
        if key.text() == Some("<<") {
            let one = value.pairs().to_vec();
            merged.extend(value.items().iter().flat_map(|item| item.pairs().to_vec()).chain(one));
        } else {
            pairs.push((key, value));
        }
    }
    for (key, value) in merged {
        if !pairs.iter().any(|(found, _)| found.value == key.value) {
            pairs.push((key, value));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> YamlNode {
        parse_documents(text).expect("valid").remove(0)
    }

    #[test]
    fn values_keep_their_text_and_position() {
        let node = one("a: 1\nb:\n  - x\n  - \"1.10\"\nc: ~\nd: '~'\n");
        assert_eq!(node.get("a").and_then(YamlNode::text), Some("1"));
        let list = node.get("b").expect("a list").items();
        assert_eq!(list[1].text(), Some("1.10"));
        assert_eq!(list[1].position, SourcePosition { line: 4, column: 5 });
        assert_eq!((node.get("c").and_then(YamlNode::text), node.get("d").and_then(YamlNode::text)), (None, Some("~")));
    }

    #[test]
    fn quoted_text_may_continue_at_any_column() {
        let node = one("a:\n  b:\n    c: \"x\n  y\nz\"\n    d: 'p\n\n q'\ne: [\"u\nv\", w]\n\
             f:\n  - 'r\n\ts'\n  - \"t\n  \tu\"\n");
        let b = node.get("a").and_then(|a| a.get("b")).expect("b");
        assert_eq!(b.get("c").and_then(YamlNode::text), Some("x y z"));
        assert_eq!(b.get("d").and_then(YamlNode::text), Some("p\nq"));
        let e = node.get("e").expect("e").items();
        assert_eq!((e[0].text(), e[1].position), (Some("u v"), SourcePosition { line: 10, column: 5 }));
        let f = node.get("f").expect("f").items();
        assert_eq!((f[0].text(), f[1].text()), (Some("r s"), Some("t u")), "tabs");
        assert!(parse_documents("a:\n\tb: 1\n").is_err(), "a tab outside of quotes");
        assert!(parse_documents("a: \"x\nb: 1\n").is_err(), "quotes that do not end");
        assert!(parse_documents("a: \"x\n---\ny\"\n").is_err(), "a document that ends inside");
    }

    #[test]
    fn a_scalar_tagged_as_text_is_not_a_number() {
        let node = one("a: !!str 1.10\nb: ! null\nc: !!int 5\nd: !<tag:yaml.org,2002:str> 0123\n");
        let plain = |key| node.get(key).and_then(YamlNode::plain);
        assert_eq!([plain("a"), plain("b"), plain("c"), plain("d")], [None, None, Some("5"), None]);
        assert_eq!(node.get("b").and_then(YamlNode::text), Some("null"));
    }

    #[test]
    fn aliases_and_merge_keys() {
        let node = one("x: &x {a: 1, b: 2}\ny: &y {c: 3}\nz: {<<: [*x, *y], b: 4}\nw: *x\n");
        let z = node.get("z").expect("z");
        let of = |key| z.get(key).and_then(YamlNode::text);
        assert_eq!([of("a"), of("b"), of("c")], [Some("1"), Some("4"), Some("3")]);
        assert_eq!(z.get("b").map(|b| b.position.line), Some(3));
        assert_eq!(node.get("w").and_then(|w| w.get("b")).and_then(YamlNode::text), Some("2"));
    }

    #[test]
    fn an_error_has_its_line() {
        let at = |text: &str| parse_documents(text).expect_err("invalid").position.line;
        assert_eq!(at("a: 1\nb: [\n"), 2);
        assert_eq!(at("a: 1\nb: 2\na: 3\n"), 3);
        assert_eq!(at("a: *b\n"), 1);
        assert_eq!(at("a: &a [*a]\n"), 1);
        assert_eq!(at(&"[".repeat(100)), 1);
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            laughs.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(parse_documents(&laughs).is_err_and(|error| error.message.contains("too large")));
    }

    #[test]
    fn an_empty_text_has_no_documents() {
        assert_eq!(parse_documents(""), Ok(Vec::new()));
    }
}
