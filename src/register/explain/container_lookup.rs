//! Finds the container that the user named. Pure.

use std::collections::BTreeMap;

use crate::{
    docker::{Container, Observation},
    ui::suggest,
};

/// The number of containers that a message names.
const MAX_NAMED: usize = 5;

/// Why no container was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerLookupError {
    /// No container has this name or id.
    #[error("there is no container {wanted:?}{}", did_you_mean(similar))]
    Unknown {
        /// The name or id to look up.
        wanted: String,
        /// Similar names.
        similar: Vec<String>,
    },
    /// Several ids start with it.
    #[error("{wanted:?} is the prefix of several ids: {}", candidates.join(", "))]
    Ambiguous {
        /// The name or id to look up.
        wanted: String,
        /// The id and name of each.
        candidates: Vec<String>,
    },
    /// The engine lists the container but could not inspect it.
    #[error("Docker lists the container {name} ({id}) but cannot inspect it")]
    Unreadable {
        /// Its full id.
        id: String,
        /// Its name, or its id if the list has no name.
        name: String,
    },
}

fn did_you_mean(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; there is {}", similar.join(", ")) }
}

/// Finds a container by name, by id, or by a prefix of its id, in this order. `names` are the names, by id, of
/// containers that were not inspected.
pub(super) fn find_container<'a>(
    wanted: &str,
    containers: &'a BTreeMap<String, Observation>,
    names: &BTreeMap<String, String>,
) -> Result<&'a Container, ContainerLookupError> {
    let name = wanted.trim_start_matches('/');
    let inspected = || {
        containers.values().filter_map(|observation| match observation {
            Observation::Inspected(container) => Some(container.as_ref()),
            Observation::Unreadable | Observation::Missing => None,
        })
    };
    if let Some(found) = inspected().find(|container| container.name == name || container.id == wanted) {
        return Ok(found);
    }
    let unreadable = |id: &String| {
        let name = names.get(id).filter(|name| !name.is_empty()).unwrap_or(id);
        ContainerLookupError::Unreadable { id: id.clone(), name: name.clone() }
    };
    let not_inspected = || containers.keys().filter(|id| matches!(containers[*id], Observation::Unreadable));
    if let Some(id) =
        not_inspected().find(|id| *id == wanted || !name.is_empty() && names.get(*id).is_some_and(|n| n == name))
    {
        return Err(unreadable(id));
    }
    let has_prefix = |id: &str| !wanted.is_empty() && id.starts_with(wanted);
    let found: Vec<_> = inspected().filter(|container| has_prefix(&container.id)).collect();
    match found[..] {
        [found] => Ok(found),
        [] => Err(match not_inspected().find(|id| has_prefix(id)) {
            Some(id) => unreadable(id),
            None => ContainerLookupError::Unknown { wanted: wanted.to_owned(), similar: similar(name, inspected()) },
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

/// Similarly spelt names first, then names that contain it: the user writes `web`, and Compose calls the container
/// `shop-web-1`.
fn similar<'a>(wanted: &str, containers: impl Iterator<Item = &'a Container>) -> Vec<String> {
    let names: Vec<_> = containers.map(|container| container.name.as_str()).collect();
    let mut similar = suggest::nearest(wanted, names.iter().copied(), 2);
    let containing =
        names.into_iter().filter(|name| wanted.len() > 1 && (name.contains(wanted) || wanted.contains(name)));
    let containing: Vec<_> = containing.filter(|name| !similar.contains(name)).collect();
    similar.extend(containing);
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
    fn by_name_id_and_prefix_of_an_id() {
        assert_eq!(found_name("shop-web-1"), Ok("abc1".into()));
        assert_eq!(found_name("/shop-web-1"), Ok("abc1".into()));
        assert_eq!(found_name("abc1"), Ok("abc1".into()));
        assert_eq!(found_name("abd"), Ok("abd2".into()));
        assert_eq!(found_name("abc"), Ok("1234".into()), "a name precedes a prefix of an id");
    }

    #[test]
    fn an_unknown_container_is_reported_with_similar_names() {
        let message = |wanted: &str| found_name(wanted).expect_err("not found").to_string();
        assert_eq!(message("web"), "there is no container \"web\"; there is shop-web-1");
        assert_eq!(message("shop-wbe-1"), "there is no container \"shop-wbe-1\"; there is shop-web-1, shop-db-1");
        assert_eq!(message("zzz"), "there is no container \"zzz\"");
        assert_eq!(message(""), "there is no container \"\"");
        assert_eq!(message("ab"), "\"ab\" is the prefix of several ids: abc1 (shop-web-1), abd2 (shop-db-1)");
        for wanted in ["ff", "ff00", "shop-bad-1", "/shop-bad-1"] {
            assert_eq!(message(wanted), "Docker lists the container shop-bad-1 (ff00) but cannot inspect it");
        }
    }
}
