//! Which instances a change adds and which it removes. Pure.

use std::{collections::BTreeSet, fmt};

use super::Member;

/// How many instances one log line names.
const MAX_NAMED: usize = 12;

/// The difference between two sets of members; see [`DesiredFile::members`](super::DesiredFile::members).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MembershipChange {
    added: Vec<Member>,
    removed: Vec<Member>,
}

impl MembershipChange {
    pub(super) fn between(before: &BTreeSet<Member>, after: &BTreeSet<Member>) -> Self {
        let difference = |one: &BTreeSet<_>, other| one.difference(other).cloned().collect();
        Self { added: difference(after, before), removed: difference(before, after) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// The services of all instances, each once.
    pub(super) fn services(&self) -> String {
        let names = self.added.iter().chain(&self.removed).map(|member| member.service.as_str());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn member(service: &str, node: &str, id: &str, address: &str, port: u16) -> Member {
        Member { service: service.into(), node: node.into(), id: id.into(), address: address.into(), port }
    }

    #[test]
    fn a_change_names_the_added_and_the_removed_instances() {
        let before =
            [member("web", "n1", "web-1", "10.0.0.4", 32771), member("api", "n1", "api-1", "10.0.0.4", 1)].into();
        let after = [
            member("web", "n2", "web-2", "10.0.0.5", 32775),
            member("api", "n1", "api-1", "10.0.0.4", 1),
            member("v6", "n", "i", "fd00::1", 80),
        ]
        .into();
        let change = MembershipChange::between(&before, &after);
        assert_eq!(change.to_string(), "+v6 [fd00::1]:80 +web 10.0.0.5:32775 -web 10.0.0.4:32771");
        assert_eq!(change.services(), "v6 web");
        assert!(MembershipChange::between(&after, &after).is_empty());
        let many = (10..40).map(|number| member("web", "n", "i", "10.0.0.1", number)).collect();
        assert!(MembershipChange::between(&BTreeSet::new(), &many).to_string().ends_with("10.0.0.1:21 and 18 more"));
    }
}
