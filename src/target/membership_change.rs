//! Which instances a change brings and takes away. Pure.

use std::{collections::BTreeSet, fmt};

/// So many are named in one line.
const MAX_NAMED: usize = 12;

/// The difference between two sets of members; see [`Product::members`](super::Product).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MembershipChange {
    added: Vec<String>,
    removed: Vec<String>,
}

impl MembershipChange {
    pub(super) fn between(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Self {
        let less = |one: &BTreeSet<String>, other| one.difference(other).map(|member| short_name(member)).collect();
        Self { added: less(after, before), removed: less(before, after) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// The services of all instances, each once.
    pub(super) fn services(&self) -> String {
        let names = self.added.iter().chain(&self.removed).map(|member| member_service(member));
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    }
}

/// `+web 10.0.0.5:32775 -web 10.0.0.4:32771`
impl fmt::Display for MembershipChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.added.iter().map(|member| ('+', member)).chain(self.removed.iter().map(|member| ('-', member)));
        for (number, (sign, member)) in all.clone().take(MAX_NAMED).enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{sign}{member}")?;
        }
        match all.count().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The service of `service node id address port`.
pub(super) fn member_service(member: &str) -> &str {
    member.split(' ').next().unwrap_or_default()
}

/// Of `service node id address port`: the service, and where it is reached.
fn short_name(member: &str) -> String {
    let words: Vec<_> = member.split(' ').collect();
    match words[..] {
        [service, .., address, port] if address.contains(':') => format!("{service} [{address}]:{port}"),
        [service, .., address, port] => format!("{service} {address}:{port}"),
        _ => member.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[&str]) -> BTreeSet<String> {
        members.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_came_and_who_went() {
        let before = set(&["web n1 web-1 10.0.0.4 32771", "api n1 api-1 10.0.0.4 1"]);
        let after = set(&["web n2 web-2 10.0.0.5 32775", "api n1 api-1 10.0.0.4 1", "v6 n i fd00::1 80"]);
        let change = MembershipChange::between(&before, &after);
        assert_eq!(change.to_string(), "+v6 [fd00::1]:80 +web 10.0.0.5:32775 -web 10.0.0.4:32771");
        assert_eq!(change.services(), "v6 web");
        assert!(MembershipChange::between(&after, &after).is_empty());
        let many: Vec<_> = (10..40).map(|number| format!("web n i 10.0.0.1 {number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(MembershipChange::between(&set(&[]), &set(&many)).to_string().ends_with("10.0.0.1:21 and 18 more"));
    }
}
