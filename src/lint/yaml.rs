//! YAML as a tree that knows its places. Pure.
//!
//! Scalars stay text: `1.10` is a tag, not a number. Aliases and merge keys (`<<`) are resolved.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle};

use super::finding::Place;

/// Deeper than any Compose file; what is deeper could only be meant to exhaust us.
const DEPTH: usize = 64;
/// So many nodes may aliases add, for the same reason.
const ALIASED: usize = 100_000;

/// One value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Text. `plain`: without quotes and `!!str`, so that `null` is the null value.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// Text that is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Invalid {
    /// Where it ceases to be.
    pub place: Place,
    /// Why.
    pub message: String,
}

impl Node {
    /// A key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().find(|(found, _)| found.text() == Some(key)).map(|(_, value)| value)
    }

    /// The pairs of a mapping; none if it is something else.
    pub(super) fn pairs(&self) -> &[(Self, Self)] {
        if let Value::Mapping(pairs) = &self.value { pairs } else { &[] }
    }

    /// The items of a sequence; none if it is something else.
    pub(super) fn items(&self) -> &[Self] {
        if let Value::Sequence(items) = &self.value { items } else { &[] }
    }

    /// The text of a scalar, unless it is YAML's nothing.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain } => {
                (!plain || !["", "~", "null", "Null", "NULL"].contains(&text.as_str())).then_some(text)
            }
            _ => None,
        }
    }

    /// The text of a scalar without quotes.
    pub(super) fn plain(&self) -> Option<&str> {
        self.text().filter(|_| matches!(self.value, Value::Scalar { plain: true, .. }))
    }

    fn size(&self) -> usize {
        let inside = self.items().iter().map(Self::size).sum::<usize>();
        1 + inside + self.pairs().iter().map(|(key, value)| key.size() + value.size()).sum::<usize>()
    }
}

/// Reads all documents of a text.
///
/// # Errors
/// It is no YAML, or a mapping has one key twice.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Invalid> {
    // Compose takes files that an editor has begun with a byte order mark.
    let mut text = Cow::Borrowed(text.trim_start_matches('\u{feff}'));
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let by = 1 + text.lines().map(indentation).max().unwrap_or_default();
    let mut moved = Moved { lines: BTreeSet::new(), by };
    loop {
        match parse(&text, &moved) {
            Err(Refused::Indentation(place)) if may_move(&text, place.line) && moved.lines.insert(place.line) => {
                let spaces = " ".repeat(by);
                let lines = text.split_inclusive('\n').zip(1..);
                let lines = lines.flat_map(|(line, number)| [if number == place.line { &spaces } else { "" }, line]);
                text = Cow::Owned(lines.collect());
            }
            Err(Refused::Indentation(place)) => return Err(invalid(place, "invalid indentation of a quoted scalar")),
            Err(Refused::Invalid(invalid)) => return Err(invalid),
            Ok(documents) => return Ok(documents),
        }
    }
}

/// Whether a line may be indented. `---` and `...` end a document even inside of quotes.
fn may_move(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line - 1).unwrap_or_default();
    !["---", "..."].iter().any(|end| line.starts_with(end))
}

/// Lines that begin inside of quotes, and were indented more than all other lines. The parser requires an indentation,
/// Compose does not; both ignore spaces at the beginning of such lines.
struct Moved {
    lines: BTreeSet<usize>,
    by: usize,
}

impl Moved {
    fn place(&self, marker: &Marker) -> Place {
        let by = if self.lines.contains(&marker.line()) { self.by } else { 0 };
        Place { line: marker.line(), column: (marker.col() + 1).saturating_sub(by).max(1) }
    }
}

enum Refused {
    /// A line that begins inside of quotes.
    Indentation(Place),
    Invalid(Invalid),
}

fn parse(text: &str, moved: &Moved) -> Result<Vec<Node>, Refused> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let place = moved.place(error.marker());
            match error.kind() {
                ErrorKind::InvalidQuotedScalarIndent | ErrorKind::TabInIndentation => Refused::Indentation(place),
                _ => Refused::Invalid(Invalid { place, message: error.info() }),
            }
        })?;
        reader.take(event, moved.place(&span.start)).map_err(Refused::Invalid)?;
    }
    Ok(reader.documents)
}

#[derive(Default)]
struct Reader {
    documents: Vec<Node>,
    /// Collections that have not ended yet, the outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
}

struct Open {
    place: Place,
    anchor: usize,
    mapping: bool,
    /// Of a mapping: keys and values in turn.
    nodes: Vec<Node>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Invalid> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text =
                    tag.is_some_and(|tag| tag.core_suffix() == Some("str") || ["", "!"].contains(&tag.suffix()));
                let plain = style == ScalarStyle::Plain && !is_text;
                let value = Value::Scalar { text: Cow::into_owned(text), plain };
                self.add(Node { place, value }, anchor);
            }
            Event::Alias(anchor) => {
                // The parser has refused an alias of nothing; what is left is one inside of its own anchor.
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| invalid(place, "an alias of what it is a part of"))?;
                self.aliased += node.size();
                if self.aliased > ALIASED {
                    return Err(invalid(place, "the aliases make it too large"));
                }
                self.add(node, 0);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(place, anchor, false)?,
            Event::MappingStart(_, anchor, _) => self.begin(place, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser ends what it has begun");
                let value = if open.mapping { Value::Mapping(pairs(open.nodes)?) } else { Value::Sequence(open.nodes) };
                self.add(Node { place: open.place, value }, open.anchor);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, mapping: bool) -> Result<(), Invalid> {
        if self.open.len() == DEPTH {
            return Err(invalid(place, "it is nested too deeply"));
        }
        self.open.push(Open { place, anchor, mapping, nodes: Vec::new() });
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.documents.push(node),
        }
    }
}

fn invalid(place: Place, message: &str) -> Invalid {
    Invalid { place, message: message.to_owned() }
}

/// Makes pairs of keys and values in turn; what a merge key brings comes last, and only where it is missing.
fn pairs(nodes: Vec<Node>) -> Result<Vec<(Node, Node)>, Invalid> {
    let (mut pairs, mut merged) = (Vec::<(Node, Node)>::new(), Vec::new());
    let mut nodes = nodes.into_iter();
    while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
        let twice = pairs.iter().find(|(found, _)| found.value == key.value);
        if let (Some((first, _)), Some(text)) = (twice, key.text()) {
            return Err(invalid(
                key.place,
                &format!("the key {text:?} is there already, at line {}", first.place.line),
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

    fn one(text: &str) -> Node {
        read(text).expect("valid").remove(0)
    }

    #[test]
    fn values_keep_their_text_and_their_place() {
        let node = one("a: 1\nb:\n  - x\n  - \"1.10\"\nc: ~\nd: '~'\n");
        assert_eq!(node.get("a").and_then(Node::text), Some("1"));
        let list = node.get("b").expect("a list").items();
        assert_eq!(list[1].text(), Some("1.10"));
        assert_eq!(list[1].place, Place { line: 4, column: 5 });
        assert_eq!((node.get("c").and_then(Node::text), node.get("d").and_then(Node::text)), (None, Some("~")));
    }

    #[test]
    fn quoted_text_may_go_on_at_any_column() {
        let node = one("a:\n  b:\n    c: \"x\n  y\nz\"\n    d: 'p\n\n q'\ne: [\"u\nv\", w]\n\
             f:\n  - 'r\n\ts'\n  - \"t\n  \tu\"\n");
        let b = node.get("a").and_then(|a| a.get("b")).expect("b");
        assert_eq!(b.get("c").and_then(Node::text), Some("x y z"));
        assert_eq!(b.get("d").and_then(Node::text), Some("p\nq"));
        let e = node.get("e").expect("e").items();
        assert_eq!((e[0].text(), e[1].place), (Some("u v"), Place { line: 10, column: 5 }));
        let f = node.get("f").expect("f").items();
        assert_eq!((f[0].text(), f[1].text()), (Some("r s"), Some("t u")), "tabs");
        assert!(read("a:\n\tb: 1\n").is_err(), "a tab outside of quotes");
        assert!(read("a: \"x\nb: 1\n").is_err(), "quotes that do not end");
        assert!(read("a: \"x\n---\ny\"\n").is_err(), "a document that ends inside");
    }

    #[test]
    fn what_is_tagged_as_text_is_no_number() {
        let node = one("a: !!str 1.10\nb: ! null\nc: !!int 5\nd: !<tag:yaml.org,2002:str> 0123\n");
        let plain = |key| node.get(key).and_then(Node::plain);
        assert_eq!([plain("a"), plain("b"), plain("c"), plain("d")], [None, None, Some("5"), None]);
        assert_eq!(node.get("b").and_then(Node::text), Some("null"));
    }

    #[test]
    fn aliases_and_merge_keys() {
        let node = one("x: &x {a: 1, b: 2}\ny: &y {c: 3}\nz: {<<: [*x, *y], b: 4}\nw: *x\n");
        let z = node.get("z").expect("z");
        let of = |key| z.get(key).and_then(Node::text);
        assert_eq!([of("a"), of("b"), of("c")], [Some("1"), Some("4"), Some("3")]);
        assert_eq!(z.get("b").map(|b| b.place.line), Some(3));
        assert_eq!(node.get("w").and_then(|w| w.get("b")).and_then(Node::text), Some("2"));
    }

    #[test]
    fn what_is_invalid_is_told_with_its_line() {
        let at = |text: &str| read(text).expect_err("invalid").place.line;
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
        assert!(read(&laughs).is_err_and(|error| error.message.contains("too large")));
    }

    #[test]
    fn nothing_at_all() {
        assert_eq!(read(""), Ok(Vec::new()));
    }
}
