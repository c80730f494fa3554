//! What an instance is called: its id, its name, its tags; and its weight. Pure.

use super::{image, instances::Host, limits, metadata::PortMetadata, tags, values::is_unseen};
use crate::{
    core::value::number,
    docker::{Container, Port, Protocol},
    registry::Weights,
};

/// `SERVICE_ID`, else `host:container:port`, with the protocol unless it is tcp.
pub(super) fn id(
    container: &Container,
    port: Port,
    metadata: &PortMetadata<'_>,
    host: &Host,
    notes: &mut Vec<String>,
) -> String {
    if let Some(said) = metadata.get("id") {
        if limits::is_id(said.value) {
            return said.value.to_owned();
        }
        let problem = "it has control characters, or an empty, \".\" or \"..\" part between slashes";
        notes.push(format!("{} is ignored: {:?} cannot be an id: {problem}", said.spelled, said.value));
    }
    let id = format!("{}:{}:{}", host.hostname, container.name, port.number);
    if port.protocol == Protocol::Tcp { id } else { format!("{id}:{}", port.protocol.as_str()) }
}

/// What the container says, else what its image is called, else its own name; with the port if the container gives
/// several and none of its own was asked for.
pub(super) fn name(
    container: &Container,
    port: Port,
    metadata: &PortMetadata<'_>,
    group: bool,
    notes: &mut Vec<String>,
) -> String {
    let said = metadata.get("name").filter(|said| match said.value.chars().find(|char| is_unseen(*char)) {
        Some(odd) => {
            notes.push(format!("{} is ignored: a name cannot contain {odd:?}", said.spelled));
            false
        }
        None => true,
    });
    let name = match said {
        Some(said) => said.value,
        None => image::base_name(&container.image).unwrap_or(&container.name),
    };
    let own = said.is_some_and(|setting| setting.for_port);
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
        let (odd, good): (Vec<_>, _) = tags::split(said.value).into_iter().partition(|tag| tag.chars().any(is_unseen));
        notes.extend(
            odd.iter()
                .map(|tag| format!("{} has a tag that is left out: {tag:?} has a control character", said.spelled)),
        );
        tags = good;
    }
    // A Go template fails for every container alike: that is told once, at the start.
    let template = host.settings.tags.as_ref().filter(|template| tags::go_template(template).is_none());
    match template.map(|template| tags::from_template(template, container)) {
        Some(Ok(more)) => tags.extend(more),
        Some(Err(error)) => notes.push(format!("--tags is left out: {error}")),
        None => {}
    }
    if port.protocol != Protocol::Tcp {
        tags.push(port.protocol.as_str().to_owned());
    }
    tags::once_each(tags)
}

/// `SERVICE_WEIGHT=10`, or with the weight while a check warns: `SERVICE_WEIGHT=10,1`.
pub(super) fn weights(metadata: &PortMetadata<'_>, notes: &mut Vec<String>) -> Option<Weights> {
    let setting = metadata.get("weight")?;
    let (passing, warning) = setting.value.split_once(',').unwrap_or((setting.value, "1"));
    // Consul's own limit is that of DNS.
    let weight = |text: &str| number(text.trim()).filter(|weight| *weight <= 65_535);
    let weights = weight(passing).filter(|passing| *passing > 0).zip(weight(warning));
    if weights.is_none() {
        notes.push(format!("{} is ignored: {:?} is no weight such as 10 or 10,1", setting.spelled, setting.value));
    }
    weights.map(|(passing, warning)| Weights { passing, warning })
}
