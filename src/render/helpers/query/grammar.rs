//! consul-template's one-string grammar: `tag.name?ns=a&partition=b@dc~near|filter`. Pure.

use crate::registry::Scope;

/// What a text says besides its subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParsedArgument {
    /// What stands before the first mark: a name, a path, or nothing.
    pub(super) subject: String,
    pub(super) scope: Scope,
    pub(super) peer: Option<String>,
    pub(super) sameness_group: Option<String>,
    pub(super) near: Option<String>,
    /// Statuses, not read yet.
    pub(super) filter: Option<String>,
}

/// What begins each part, in the order of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimiters(&'static [char]);

/// `name?query@dc~near|filter`
pub(super) const SERVICE: Delimiters = Delimiters(&['?', '@', '~', '|']);
/// `?query@dc~near`
pub(super) const NODES: Delimiters = Delimiters(&['?', '@', '~']);
/// `name?query@dc`; a path may hold all other marks.
pub(super) const SCOPE: Delimiters = Delimiters(&['?', '@']);

impl Delimiters {
    /// Whether `text` has a part that begins with a mark.
    pub(super) fn occur_in(self, text: &str) -> bool {
        text.contains(self.0)
    }
}

/// Takes `text` apart. Its subject is not looked at: it may be empty.
pub(super) fn parse(text: &str, marks: Delimiters) -> Result<ParsedArgument, String> {
    let end = text.find(marks.0).unwrap_or(text.len());
    let (subject, mut rest) = text.split_at(end);
    let mut spelled = ParsedArgument { subject: subject.to_owned(), ..ParsedArgument::default() };
    let mut allowed = marks.0;
    while let Some(mark) = rest.chars().next() {
        let after = &rest[mark.len_utf8()..];
        let end = after.find(marks.0).unwrap_or(after.len());
        let (part, more) = after.split_at(end);
        let Some(place) = allowed.iter().position(|known| *known == mark) else {
            let order: String = marks.0.iter().collect();
            return Err(format!("`{mark}` in {text:?} is in the wrong place or there twice: the order is `{order}`"));
        };
        if part.is_empty() || part.contains(char::is_whitespace) {
            return Err(format!("`{mark}` in {text:?} must be followed by {}", expected_after(mark)));
        }
        match mark {
            '?' => read_query(part, &mut spelled).map_err(|reason| format!("{reason} in {text:?}"))?,
            '@' => spelled.scope.dc = Some(part.to_owned()),
            '~' => spelled.near = Some(part.to_owned()),
            _ => spelled.filter = Some(part.to_owned()),
        }
        (allowed, rest) = (&allowed[place + 1..], more);
    }
    Ok(spelled)
}

/// `tag.name`: the tag may hold dots, the name not.
pub(super) fn tag_and_name(subject: &str) -> Option<(Option<&str>, &str)> {
    let (tag, name) = subject.rsplit_once('.').map_or((None, subject), |(tag, name)| (Some(tag), name));
    (!name.is_empty() && tag != Some("")).then_some((tag, name))
}

/// Reads `ns=a&partition=b`.
fn read_query(query: &str, spelled: &mut ParsedArgument) -> Result<(), String> {
    for pair in query.split('&') {
        let Some((key, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(format!("`{pair}` is no `key=value`"));
        };
        let field = match key {
            "ns" => &mut spelled.scope.namespace,
            "partition" => &mut spelled.scope.partition,
            "peer" => &mut spelled.peer,
            "sameness-group" => &mut spelled.sameness_group,
            _ => return Err(format!("`{key}` is not known (there are: ns, partition, peer, sameness-group)")),
        };
        if field.replace(value.to_owned()).is_some() {
            return Err(format!("`{key}` is there twice"));
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

    /// The text that says this.
    fn spell(spelled: &ParsedArgument) -> String {
        let ParsedArgument { subject, scope: Scope { dc, namespace, partition }, peer, sameness_group, near, filter } =
            spelled;
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
        let whole = "v1.web?ns=a&partition=b&peer=c&sameness-group=d@dc2~_agent|passing,warning";
        let text = |text: &str| Some(text.to_owned());
        let expected = ParsedArgument {
            subject: "v1.web".into(),
            scope: Scope { dc: text("dc2"), namespace: text("a"), partition: text("b") },
            peer: text("c"),
            sameness_group: text("d"),
            near: text("_agent"),
            filter: text("passing,warning"),
        };
        assert_eq!(parse(whole, SERVICE), Ok(expected));
        for (text, marks) in [
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
            assert_eq!(parse(text, marks).map(|spelled| spell(&spelled)).as_deref(), Ok(text));
        }
        assert_eq!(parse("a~b|c@dc2", SCOPE).expect("a path").subject, "a~b|c");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("web@", "must be followed by a datacenter"),
            ("web@ dc2", "must be followed by a datacenter"),
            ("web~", "must be followed by a node"),
            ("web|", "must be followed by statuses"),
            ("web?", "must be followed by `key=value`"),
            ("web@@dc2", "must be followed by a datacenter"),
            ("web~n1@dc2", "`@` in \"web~n1@dc2\" is in the wrong place or there twice"),
            ("web|any~n1", "`~` in"),
            ("web|any|passing", "`|` in"),
            ("web?stale=1", "`stale` is not known"),
            ("web?ns", "`ns` is no `key=value`"),
            ("web?ns=", "`ns=` is no"),
            ("web?ns=a&ns=b", "`ns` is there twice"),
            ("web?ns=a&", "`` is no"),
        ] {
            let error = parse(text, SERVICE).expect_err(text);
            assert!(error.contains(said) && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn a_tag_stands_before_the_last_dot() {
        assert_eq!(tag_and_name("web"), Some((None, "web")));
        assert_eq!(tag_and_name("a.b.web"), Some((Some("a.b"), "web")));
        for wrong in ["", ".web", "v1.", "."] {
            assert_eq!(tag_and_name(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[a-z.?@~|=& ü]{0,30}|\\PC{0,30}") {
            for marks in [SERVICE, NODES, SCOPE] {
                if let Ok(spelled) = parse(&text, marks) {
                    prop_assert_eq!(parse(&spell(&spelled), marks), Ok(spelled));
                }
            }
        }

        #[test]
        fn what_is_spelled_is_read(
            subject in "[a-z./]{0,9}",
            values in prop::array::uniform7(prop::option::of("[a-z0-9_.-]{1,9}")),
        ) {
            let [dc, namespace, partition, peer, sameness_group, near, filter] = values;
            let scope = Scope { dc, namespace, partition };
            let spelled = ParsedArgument { subject, scope, peer, sameness_group, near, filter };
            prop_assert_eq!(parse(&spell(&spelled), SERVICE), Ok(spelled));
        }
    }
}
