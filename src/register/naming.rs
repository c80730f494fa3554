//! What an instance is called: its id, its name, its tags; and its weight. Pure.

use super::{host::Host, image, metadata::PortMetadata, tags};
use crate::{
    consul::limits,
    core::value::{is_unprintable, parse_number},
    docker::{Container, Port, Protocol},
    registry::Weights,
};

/// `SERVICE_ID`, else `host:container:port`, with the protocol unless it is tcp.
pub(super) fn service_id(
    container: &Container,
    port: Port,
    metadata: &PortMetadata<'_>,
    host: &Host,
    notes: &mut Vec<String>,
) -> String {
    if let Some(said) = metadata.get("id") {
        if limits::is_valid_id(said.value) {
            return said.value.to_owned();
        }
        let problem = "it has control characters, or an empty, \".\" or \"..\" part between slashes";
        notes.push(format!("{} is ignored: {:?} cannot be an id: {problem}", said.name, said.value));
    }
    let id = format!("{}:{}:{}", host.hostname, container.name, port.number);
    if port.protocol == Protocol::Tcp { id } else { format!("{id}:{}", port.protocol.as_str()) }
}

/// What the container says, else what its image is called, else its own name; with the port if the container gives
/// several and none of its own was asked for.
pub(super) fn service_name(
    container: &Container,
    port: Port,
    metadata: &PortMetadata<'_>,
    group: bool,
    notes: &mut Vec<String>,
) -> String {
    let said = metadata.get("name").filter(|said| match said.value.chars().find(|char| is_unprintable(*char)) {
        Some(odd) => {
            notes.push(format!("{} is ignored: a name cannot contain {odd:?}", said.name));
            false
        }
        None => true,
    });
    let name = match said {
        Some(said) => said.value,
        None => image::base_name(&container.image).unwrap_or(&container.name),
    };
    let own = said.is_some_and(|setting| setting.is_port_specific);
    if group && !own { format!("{name}-{}", port.number) } else { name.to_owned() }
}

/// What the container says, then what `--tags` makes of it, then the protocol unless it is tcp.
pub(super) fn tags(
    container: &Container,
    metadata: &PortMetadata<'_>,
    port: Port,
    host: &Host,
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut tags = Vec::new();
    if let Some(said) = metadata.get("tags") {
        let (odd, good): (Vec<_>, _) =
            tags::split_tags(said.value).into_iter().partition(|tag| tag.chars().any(is_unprintable));
        notes.extend(
            odd.iter().map(|tag| format!("{} has a tag that is left out: {tag:?} has a control character", said.name)),
        );
        tags = good;
    }
    // A Go template fails for every container alike: that is told once, at the start.
    let template = host.settings.tags.as_ref().filter(|template| tags::go_template(template).is_none());
    match template.map(|template| tags::render_tags(template, container)) {
        Some(Ok(more)) => tags.extend(more),
        Some(Err(error)) => notes.push(format!("--tags is left out: {error}")),
        None => {}
    }
    if port.protocol != Protocol::Tcp {
        tags.push(port.protocol.as_str().to_owned());
    }
    tags::deduplicated(tags)
}

/// `SERVICE_WEIGHT=10`, or with the weight while a check warns: `SERVICE_WEIGHT=10,1`.
pub(super) fn weights(metadata: &PortMetadata<'_>, notes: &mut Vec<String>) -> Option<Weights> {
    let setting = metadata.get("weight")?;
    let (passing, warning) = setting.value.split_once(',').unwrap_or((setting.value, "1"));
    let weight = |text: &str| parse_number(text.trim()).filter(|weight| *weight <= limits::MAX_WEIGHT);
    let weights = weight(passing).filter(|passing| *passing > 0).zip(weight(warning));
    if weights.is_none() {
        notes.push(format!("{} is ignored: {:?} is no weight such as 10 or 10,1", setting.name, setting.value));
    }
    weights.map(|(passing, warning)| Weights { passing, warning })
}
