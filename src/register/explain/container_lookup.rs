//! Which container is meant. Pure.

use std::collections::BTreeMap;

use crate::{
    docker::{Container, Observation},
    ui::suggest,
};

/// How many containers a message names.
const MAX_NAMED: usize = 5;

/// Why no container was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerLookupError {
    /// None has such a name or id.
    #[error("there is no container {wanted:?}{}", did_you_mean(similar))]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// Names that are not far from it.
        similar: Vec<String>,
    },
    /// Several ids begin so.
    #[error("{wanted:?} is the beginning of several ids: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Id and name of each.
        candidates: Vec<String>,
    },
    /// The engine lists it, and has not described it.
    #[error("Docker lists the container {name} ({id}), and does not describe it")]
    Unreadable {
        /// Its full id.
        id: String,
        /// Its name, or its id if the list tells none.
        name: String,
    },
}

fn did_you_mean(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; there is {}", similar.join(", ")) }
}

/// By name, by id, by the beginning of an id, in this order. `names` are those of containers that were not described, by
/// id.
pub(super) fn find_container<'a>(
    wanted: &str,
    containers: &'a BTreeMap<String, Observation>,
    names: &BTreeMap<String, String>,
) -> Result<&'a Container, ContainerLookupError> {
    let name = wanted.trim_start_matches('/');
    let seen = || {
        containers.values().filter_map(|sight| match sight {
            Observation::Inspected(container) => Some(container.as_ref()),
            Observation::Unreadable | Observation::Missing => None,
        })
    };
    if let Some(found) = seen().find(|container| container.name == name || container.id == wanted) {
        return Ok(found);
    }
    let unreadable = |id: &String| {
        let name = names.get(id).filter(|name| !name.is_empty()).unwrap_or(id);
        ContainerLookupError::Unreadable { id: id.clone(), name: name.clone() }
    };
    let unseen = || containers.keys().filter(|id| matches!(containers[*id], Observation::Unreadable));
    if let Some(id) = unseen().find(|id| *id == wanted || !name.is_empty() && names.get(*id).is_some_and(|n| n == name))
    {
        return Err(unreadable(id));
    }
    let begins = |id: &str| !wanted.is_empty() && id.starts_with(wanted);
    let found: Vec<_> = seen().filter(|container| begins(&container.id)).collect();
    match found[..] {
        [found] => Ok(found),
        [] => Err(match unseen().find(|id| begins(id)) {
            Some(id) => unreadable(id),
            None => ContainerLookupError::Unknown { wanted: wanted.to_owned(), similar: similar(name, seen()) },
        }),
        _ => {
            let candidate = |container: &&Container| format!("{} ({})", container.short_id(), container.name);
            Err(ContainerLookupError::Ambiguous {
                wanted: wanted.to_owned(),
                candidates: found.iter().map(candidate).collect(),
            })
        }
    }
}

/// Near in spelling first, then those that contain it: `web` is asked for, compose calls it `shop-web-1`.
fn similar<'a>(wanted: &str, containers: impl Iterator<Item = &'a Container>) -> Vec<String> {
    let names: Vec<_> = containers.map(|container| container.name.as_str()).collect();
    let mut similar = suggest::nearest(wanted, names.iter().copied(), 2);
    let contain = names.into_iter().filter(|name| wanted.len() > 1 && (name.contains(wanted) || wanted.contains(name)));
    let contain: Vec<_> = contain.filter(|name| !similar.contains(name)).collect();
    similar.extend(contain);
    similar.into_iter().take(MAX_NAMED).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::register::fixture::container;

    fn found_name(wanted: &str) -> Result<String, ContainerLookupError> {
        let named = |id: &str, name: &str| {
            let container = Container { id: id.into(), ..container(name) };
            (id.to_owned(), Observation::Inspected(Arc::new(container)))
        };
        let all = [named("abc1", "shop-web-1"), named("abd2", "shop-db-1"), named("1234", "abc")];
        let all = all.into_iter().chain([("ff00".to_owned(), Observation::Unreadable)]).collect();
        let names = [("ff00".to_owned(), "shop-bad-1".to_owned())].into();
        find_container(wanted, &all, &names).map(|container| container.id.clone())
    }

    #[test]
    fn by_name_id_and_beginning_of_an_id() {
        assert_eq!(found_name("shop-web-1"), Ok("abc1".into()));
        assert_eq!(found_name("/shop-web-1"), Ok("abc1".into()));
        assert_eq!(found_name("abc1"), Ok("abc1".into()));
        assert_eq!(found_name("abd"), Ok("abd2".into()));
        assert_eq!(found_name("abc"), Ok("1234".into()), "a name goes before the beginning of an id");
    }

    #[test]
    fn what_is_not_found_is_told_with_what_is_there() {
        let said = |wanted: &str| found_name(wanted).expect_err("nothing").to_string();
        assert_eq!(said("web"), "there is no container \"web\"; there is shop-web-1");
        assert_eq!(said("shop-wbe-1"), "there is no container \"shop-wbe-1\"; there is shop-web-1, shop-db-1");
        assert_eq!(said("zzz"), "there is no container \"zzz\"");
        assert_eq!(said(""), "there is no container \"\"");
        assert_eq!(said("ab"), "\"ab\" is the beginning of several ids: abc1 (shop-web-1), abd2 (shop-db-1)");
        for wanted in ["ff", "ff00", "shop-bad-1", "/shop-bad-1"] {
            assert_eq!(said(wanted), "Docker lists the container shop-bad-1 (ff00), and does not describe it");
        }
    }
}
