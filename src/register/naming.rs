//! The id, name, tags and weights of an instance. Pure.

use super::{host::Host, image, metadata::PortMetadata, tags};
use crate::{
    consul::limits,
    core::value::{is_unprintable, parse_number},
    docker::{Container, Port, Protocol},
    registry::Weights,
};

/// `SERVICE_ID`, or else `host:container:port`, with the protocol unless it is tcp.
pub(super) fn service_id(
    container: &Container,
    port: Port,
    metadata: &PortMetadata<'_>,
    host: &Host,
    notes: &mut Vec<String>,
) -> String {
    if let Some(setting) = metadata.get("id") {
        if limits::is_valid_id(setting.value) {
            return setting.value.to_owned();
        }
        let problem = "it has control characters, or an empty, \".\" or \"..\" part between slashes";
        notes.push(format!("{} is ignored: {:?} cannot be an id: {problem}", setting.name, setting.value));
    }
    let id = format!("{}:{}:{}", host.hostname, container.name, port.number);
    if port.protocol == Protocol::Tcp { id } else { format!("{id}:{}", port.protocol.as_str()) }
}

/// `SERVICE_NAME`, or else the name of the image, or else the name of the container. The port is appended if the
/// container has several and the name was not given for this port.
pub(super) fn service_name(
    container: &Container,
    port: Port,
    metadata: &PortMetadata<'_>,
    has_several_ports: bool,
    notes: &mut Vec<String>,
) -> String {
    let setting =
        metadata.get("name").filter(|setting| match setting.value.chars().find(|char| is_unprintable(*char)) {
            Some(invalid) => {
                notes.push(format!("{} is ignored: a name cannot contain {invalid:?}", setting.name));
                false
            }
            None => true,
        });
    let name = match setting {
        Some(setting) => setting.value,
        None => image::base_name(&container.image).unwrap_or(&container.name),
    };
    let is_port_specific = setting.is_some_and(|setting| setting.is_port_specific);
    if has_several_ports && !is_port_specific { format!("{name}-{}", port.number) } else { name.to_owned() }
}

/// `SERVICE_TAGS`, then the tags of `--tags`, then the protocol unless it is tcp.
pub(super) fn tags(
    container: &Container,
    metadata: &PortMetadata<'_>,
    port: Port,
    host: &Host,
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut tags = Vec::new();
    if let Some(setting) = metadata.get("tags") {
        let (invalid, valid): (Vec<_>, _) =
            tags::split_tags(setting.value).into_iter().partition(|tag| tag.chars().any(is_unprintable));
        notes.extend(
            invalid
                .iter()
                .map(|tag| format!("{} has a tag that is left out: {tag:?} has a control character", setting.name)),
        );
        tags = valid;
    }
    // A Go template would fail for every container; that is logged once, at the start.
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

/// Parses `SERVICE_WEIGHT=10`, or `SERVICE_WEIGHT=10,1` with the weight while a check warns (default 1).
pub(super) fn weights(metadata: &PortMetadata<'_>, notes: &mut Vec<String>) -> Option<Weights> {
    let setting = metadata.get("weight")?;
    let (passing, warning) = setting.value.split_once(',').unwrap_or((setting.value, "1"));
    let weight = |text: &str| parse_number(text.trim()).filter(|weight| *weight <= limits::MAX_WEIGHT);
    let weights = weight(passing).filter(|passing| *passing > 0).zip(weight(warning));
    if weights.is_none() {
        notes.push(format!("{} is ignored: {:?} is not a weight such as 10 or 10,1", setting.name, setting.value));
    }
    weights.map(|(passing, warning)| Weights { passing, warning })
}
