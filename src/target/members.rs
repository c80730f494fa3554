//! Which instances a change brings and takes away. Pure.

use std::{collections::BTreeSet, fmt};

/// So many are named in one line.
const MOST: usize = 12;

/// The difference between two sets of members; see [`Product::members`](super::Product).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    came: Vec<String>,
    went: Vec<String>,
}

impl Membership {
    pub(super) fn between(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Self {
        let less = |one: &BTreeSet<String>, other| one.difference(other).map(|member| short(member)).collect();
        Self { came: less(after, before), went: less(before, after) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty()
    }

    /// The services of all instances, each once.
    pub(super) fn services(&self) -> String {
        let names = self.came.iter().chain(&self.went).map(|member| service(member));
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    }
}

/// `+web 10.0.0.5:32775 -web 10.0.0.4:32771`
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.came.iter().map(|member| ('+', member)).chain(self.went.iter().map(|member| ('-', member)));
        for (number, (sign, member)) in all.clone().take(MOST).enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{sign}{member}")?;
        }
        match all.count().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The service of `service node id address port`.
pub(super) fn service(member: &str) -> &str {
    member.split(' ').next().unwrap_or_default()
}

/// Of `service node id address port`: the service, and where it is reached.
fn short(member: &str) -> String {
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
        let change = Membership::between(&before, &after);
        assert_eq!(change.to_string(), "+v6 [fd00::1]:80 +web 10.0.0.5:32775 -web 10.0.0.4:32771");
        assert_eq!(change.services(), "v6 web");
        assert!(Membership::between(&after, &after).is_empty());
        let many: Vec<_> = (10..40).map(|number| format!("web n i 10.0.0.1 {number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(Membership::between(&set(&[]), &set(&many)).to_string().ends_with("10.0.0.1:21 and 18 more"));
    }
}
