//! consul-template's one-string grammar: `tag.name?ns=a&partition=b@dc~near|filter`. Pure.

use crate::registry::Scope;

/// The parts of an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedArgument {
    /// The text before the first delimiter: a name, a path, or empty.
    pub(super) subject: String,
    pub(super) scope: Scope,
    pub(super) peer: Option<String>,
    pub(super) sameness_group: Option<String>,
    pub(super) near: Option<String>,
    /// A list of statuses, not parsed yet.
    pub(super) filter: Option<String>,
}

/// The character that starts each part, in the order of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimiters(&'static [char]);

/// `name?query@dc~near|filter`
pub(super) const SERVICE: Delimiters = Delimiters(&['?', '@', '~', '|']);
/// `?query@dc~near`
pub(super) const NODES: Delimiters = Delimiters(&['?', '@', '~']);
/// `name?query@dc`; a path may contain the other delimiters.
pub(super) const SCOPE: Delimiters = Delimiters(&['?', '@']);

impl Delimiters {
    /// Whether `text` contains a delimiter.
    pub(super) fn occur_in(self, text: &str) -> bool {
        text.contains(self.0)
    }
}

/// Splits `text` into its parts. The subject is not checked; it may be empty.
pub(super) fn parse(text: &str, delimiters: Delimiters) -> Result<ParsedArgument, String> {
    let end = text.find(delimiters.0).unwrap_or(text.len());
    let (subject, mut rest) = text.split_at(end);
    let mut parsed = ParsedArgument { subject: subject.to_owned(), ..ParsedArgument::default() };
    let mut allowed = delimiters.0;
    while let Some(mark) = rest.chars().next() {
        let after = &rest[mark.len_utf8()..];
        let end = after.find(delimiters.0).unwrap_or(after.len());
        let (part, more) = after.split_at(end);
        let Some(index) = allowed.iter().position(|delimiter| *delimiter == mark) else {
            let order: String = delimiters.0.iter().collect();
            return Err(format!("`{mark}` in {text:?} is in the wrong place or repeated: the order is `{order}`"));
        };
        if part.is_empty() || part.contains(char::is_whitespace) {
            return Err(format!("`{mark}` in {text:?} must be followed by {}", expected_after(mark)));
        }
        match mark {
            '?' => read_query(part, &mut parsed).map_err(|reason| format!("{reason} in {text:?}"))?,
            '@' => parsed.scope.dc = Some(part.to_owned()),
            '~' => parsed.near = Some(part.to_owned()),
            _ => parsed.filter = Some(part.to_owned()),
        }
        (allowed, rest) = (&allowed[index + 1..], more);
    }
    Ok(parsed)
}

/// `tag.name`: the tag may contain dots, the name may not.
pub(super) fn tag_and_name(subject: &str) -> Option<(Option<&str>, &str)> {
    let (tag, name) = subject.rsplit_once('.').map_or((None, subject), |(tag, name)| (Some(tag), name));
    (!name.is_empty() && tag != Some("")).then_some((tag, name))
}

/// Parses `ns=a&partition=b`.
fn read_query(query: &str, parsed: &mut ParsedArgument) -> Result<(), String> {
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(format!("`{pair}` is not `key=value`"));
        };
        let field = match key {
            "ns" => &mut parsed.scope.namespace,
            "partition" => &mut parsed.scope.partition,
            "peer" => &mut parsed.peer,
            "sameness-group" => &mut parsed.sameness_group,
            _ => return Err(format!("`{key}` is not known (known: ns, partition, peer, sameness-group)")),
        };
        if field.replace(value.to_owned()).is_some() {
            return Err(format!("`{key}` is repeated"));
        }
    }
    Ok(())
}

fn expected_after(mark: char) -> &'static str {
    match mark {
        '?' => "`key=value`",
        '@' => "a datacenter",
        '~' => "a node",
        _ => "statuses",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that parses to `parsed`.
    fn spell(parsed: &ParsedArgument) -> String {
        let ParsedArgument { subject, scope: Scope { dc, namespace, partition }, peer, sameness_group, near, filter } =
            parsed;
        let pairs = [("ns", namespace), ("partition", partition), ("peer", peer), ("sameness-group", sameness_group)];
        let pairs: Vec<_> =
            pairs.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?))).collect();
        let part = |mark: &str, value: &Option<String>| value.as_ref().map(|value| format!("{mark}{value}"));
        let query = part("?", &Some(pairs.join("&")).filter(|query| !query.is_empty()));
        let parts = [query, part("@", dc), part("~", near), part("|", filter)];
        subject.clone() + &parts.into_iter().flatten().collect::<String>()
    }

    #[test]
    fn every_part_is_read() {
        let argument = "v1.web?ns=a&partition=b&peer=c&sameness-group=d@dc2~_agent|passing,warning";
        let text = |text: &str| Some(text.to_owned());
        let expected = ParsedArgument {
            subject: "v1.web".into(),
            scope: Scope { dc: text("dc2"), namespace: text("a"), partition: text("b") },
            peer: text("c"),
            sameness_group: text("d"),
            near: text("_agent"),
            filter: text("passing,warning"),
        };
        assert_eq!(parse(argument, SERVICE), Ok(expected));
        for (text, delimiters) in [
            ("web", SERVICE),
            ("web@dc2", SERVICE),
            ("web|any", SERVICE),
            ("web~n1", SERVICE),
            ("web?peer=x", SERVICE),
            ("?ns=a@dc2~n1", NODES),
            ("@dc2", NODES),
            ("", NODES),
            ("?ns=a@dc2", SCOPE),
            ("a/b~c|d@dc2", SCOPE),
        ] {
            assert_eq!(parse(text, delimiters).map(|parsed| spell(&parsed)).as_deref(), Ok(text));
        }
        assert_eq!(parse("a~b|c@dc2", SCOPE).expect("a path").subject, "a~b|c");
    }

    #[test]
    fn errors_name_the_problem() {
        for (text, expected) in [
            ("web@", "must be followed by a datacenter"),
            ("web@ dc2", "must be followed by a datacenter"),
            ("web~", "must be followed by a node"),
            ("web|", "must be followed by statuses"),
            ("web?", "must be followed by `key=value`"),
            ("web@@dc2", "must be followed by a datacenter"),
            ("web~n1@dc2", "`@` in \"web~n1@dc2\" is in the wrong place or repeated"),
            ("web|any~n1", "`~` in"),
            ("web|any|passing", "`|` in"),
            ("web?stale=1", "`stale` is not known"),
            ("web?ns", "`ns` is not `key=value`"),
            ("web?ns=", "`ns=` is not"),
            ("web?ns=a&ns=b", "`ns` is repeated"),
            ("web?ns=a&", "`` is not"),
        ] {
            let error = parse(text, SERVICE).expect_err(text);
            assert!(error.contains(expected) && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn tag_precedes_the_last_dot() {
        assert_eq!(tag_and_name("web"), Some((None, "web")));
        assert_eq!(tag_and_name("a.b.web"), Some((Some("a.b"), "web")));
        for wrong in ["", ".web", "v1.", "."] {
            assert_eq!(tag_and_name(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_valid_text_survives_formatting_and_parsing(text in "[a-z.?@~|=& ü]{0,30}|\\PC{0,30}") {
            for delimiters in [SERVICE, NODES, SCOPE] {
                if let Ok(parsed) = parse(&text, delimiters) {
                    prop_assert_eq!(parse(&spell(&parsed), delimiters), Ok(parsed));
                }
            }
        }

        #[test]
        fn formatted_argument_parses_to_itself(
            subject in "[a-z./]{0,9}",
            values in prop::array::uniform7(prop::option::of("[a-z0-9_.-]{1,9}")),
        ) {
            let [dc, namespace, partition, peer, sameness_group, near, filter] = values;
            let scope = Scope { dc, namespace, partition };
            let parsed = ParsedArgument { subject, scope, peer, sameness_group, near, filter };
            prop_assert_eq!(parse(&spell(&parsed), SERVICE), Ok(parsed));
        }
    }
}
