//! From a container to the instances that it gives: the heart of `register`. Pure.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use jiff::Timestamp;

use super::{
    address::{Origin, Place, Subject},
    checks::Checked,
    crash, health, image, limits,
    meta::meta,
    metadata::{Metadata, PortMetadata},
    ready::{self, Gate},
    settings::{Settings, Starting},
    tagged::tagged_addresses,
    tags,
};
use crate::{
    docker::{Binding, Container, Engine, HealthStatus, Port, Protocol, Sight},
    registry::{Instance, OutReason, Owner, Weights},
};

/// What does not depend on the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The Docker engine's own id.
    pub engine: String,
    /// The first part of each id.
    pub hostname: String,
    /// The address that the registry's agent advertises.
    pub advertised: String,
    /// What the user has set.
    pub settings: Settings,
}

impl Host {
    /// The host of an engine, in the name that the user has set or the engine's own.
    pub fn new(engine: Engine, advertised: String, settings: Settings) -> Self {
        let hostname = settings.hostname.clone().unwrap_or(engine.name);
        Self { engine: engine.id, hostname, advertised, settings }
    }

    /// Where others reach ports that are published on all addresses.
    pub fn outside_address(&self) -> String {
        self.forced_address().unwrap_or(&self.advertised).to_owned()
    }

    /// Whether that is an address of this host only.
    pub fn is_on_loopback(&self) -> bool {
        self.outside_address().parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// `--ip`; an empty one is none, as in registrator.
    pub(super) fn forced_address(&self) -> Option<&str> {
        self.settings.ip.as_deref().filter(|ip| !ip.is_empty())
    }
}

/// What became of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The port inside the container.
    pub port: Port,
    /// The instance, or why there is none.
    pub outcome: Result<Instance, Skip>,
    /// What the instance's address was taken from.
    pub origin: Option<Origin>,
    /// What has to succeed once before the instance is registered for the first time.
    pub gate: Option<Gate>,
    /// What could not be done as asked.
    pub notes: Vec<String>,
}

/// Why a port gives no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Exposed only.
    NotPublished,
    /// Published on a loopback address: others cannot reach it.
    Loopback,
    /// The container has no address of its own.
    NoNetwork,
    /// `SERVICE_IGNORE`.
    Ignored,
    /// Consul would take an entry with such an id, and never give it back.
    Unnameable,
    /// `--explicit`, and no name.
    Unnamed,
    /// Docker's HEALTHCHECK has no verdict yet, and such containers are not to be registered.
    Starting,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPublished => "it is not published on the host",
            Self::Loopback => "it is published on a loopback address only",
            Self::NoNetwork => "the container has no address of its own",
            Self::Unnameable => "its id has control characters, or an empty, \".\" or \"..\" part between slashes",
            Self::Ignored => "SERVICE_IGNORE is set",
            Self::Starting => "its HEALTHCHECK has no verdict yet",
            Self::Unnamed => "it has no SERVICE_NAME, and --explicit asks for one",
        })
    }
}

/// Looks at every port of a container. One that does not run gives nothing. `others` are all containers of the host.
pub fn verdicts(container: &Container, others: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) -> Vec<Verdict> {
    if !container.running {
        return Vec::new();
    }
    let owner = network_owner(container, others);
    let ports = ports(container, owner);
    let metadata = Metadata::read(container);
    let counts = |bindings: &Vec<Binding>| host.settings.internal || !bindings.is_empty() || owner.id != container.id;
    let group = ports.iter().filter(|(_, bindings)| counts(bindings)).count() > 1;
    let verdict = |(port, bindings): &(Port, Vec<Binding>)| {
        let mut notes = Vec::new();
        let metadata = metadata.for_port(*port);
        let subject = Subject { container, owner, port: *port, bindings, metadata: &metadata };
        let place = subject.place(host, &mut notes);
        let id = id(container, *port, &metadata, host);
        let origin = place.as_ref().ok().map(|place| place.origin.clone());
        let outcome = match place {
            _ if metadata.is_on("ignore") => Err(Skip::Ignored),
            _ if host.settings.explicit && metadata.value("name").is_none() => Err(Skip::Unnamed),
            Err(skip) => Err(skip),
            Ok(_) if starting(container, host) => Err(Skip::Starting),
            Ok(_) if !limits::is_id(&id) => {
                notes.push(format!("port {port} is not registered as {id:?}: {}", Skip::Unnameable));
                Err(Skip::Unnameable)
            }
            Ok(Place { address, port: published, .. }) => {
                let checked = Checked { container, metadata: &metadata, port: *port, address: &address, published };
                let mut checks = checked.checks(&mut notes);
                let reported = health::reported(container, &host.settings);
                let reports = reported.iter().map(|(check, report)| (check.key.clone(), report.clone())).collect();
                checks.extend(reported.into_iter().map(|(check, _)| check));
                Ok(Instance {
                    id,
                    name: name(container, *port, &metadata, group),
                    tags: tags(container, &metadata, *port, host, &mut notes),
                    meta: meta(&metadata, &mut notes),
                    tagged_addresses: tagged_addresses(owner, *port, bindings),
                    weights: weights(&metadata, &mut notes),
                    tag_override: metadata.is_on("tag_override"),
                    checks,
                    reports,
                    owner: Owner {
                        engine: host.engine.clone(),
                        container: container.id.clone(),
                        started: container.started_at.clone(),
                    },
                    out: out(container, host, now),
                    address,
                    port: published,
                })
            }
        };
        let gate = outcome.as_ref().ok().and_then(|instance| ready::gate(&metadata, instance, *port, &mut notes));
        Verdict { port: *port, outcome, origin, gate, notes }
    };
    ports.iter().map(verdict).collect()
}

/// When an instance of this container will be due for another look, although nothing happens.
pub fn due(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    drain_rest(container, host, now).into_iter().chain(crash::rest(container, &host.settings, now)).min()
}

/// For how long a container that was told to stop is believed to be on its way.
fn drain_rest(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    host.settings.drain_return.checked_sub(container.stopping_for(now)?).filter(|rest| !rest.is_zero())
}

fn starting(container: &Container, host: &Host) -> bool {
    let settings = &host.settings;
    let undecided = container.health.as_ref().is_some_and(|health| health.status == HealthStatus::Starting);
    undecided && settings.docker_health && settings.docker_starting == Starting::Absent
}

/// The container whose network this one uses: `--network container:ID` may be a chain.
fn network_owner<'a>(container: &'a Container, others: &'a BTreeMap<String, Sight>) -> &'a Container {
    let mut owner = container;
    // A chain longer than the number of containers would be a circle, which Docker does not make.
    for _ in 0..others.len() {
        let next = owner.network_mode.strip_prefix("container:").and_then(|id| others.get(id));
        let Some(Sight::Seen(next)) = next else { break };
        owner = next;
    }
    owner
}

/// Every port that the container has, with its places on the host.
///
/// With a network of its own that is what Docker published. On the host's network each exposed port is open on the host
/// as it is (registrator does the same). In the network of another container it is that one's to publish.
fn ports(container: &Container, owner: &Container) -> Vec<(Port, Vec<Binding>)> {
    let exposed = container.exposed.iter().filter(|port| !container.bindings.contains_key(port)).map(|port| {
        let everywhere = Binding { ip: IpAddr::from([0, 0, 0, 0]), port: port.number };
        let on_host = || if owner.network_mode == "host" { vec![everywhere] } else { Vec::new() };
        (*port, owner.bindings.get(port).cloned().unwrap_or_else(on_host))
    });
    let bound = container.bindings.iter().map(|(port, bindings)| (*port, bindings.clone()));
    let mut ports: Vec<_> = bound.chain(exposed).collect();
    ports.sort_unstable();
    ports
}

/// `host:container:port`, with the protocol unless it is tcp.
fn id(container: &Container, port: Port, metadata: &PortMetadata<'_>, host: &Host) -> String {
    if let Some(id) = metadata.value("id") {
        return id.to_owned();
    }
    let id = format!("{}:{}:{}", host.hostname, container.name, port.number);
    if port.protocol == Protocol::Tcp { id } else { format!("{id}:{}", port.protocol.as_str()) }
}

/// What the container says, else what its image is called, else its own name; with the port if the container gives
/// several and none of its own was asked for.
fn name(container: &Container, port: Port, metadata: &PortMetadata<'_>, group: bool) -> String {
    let said = metadata.get("name").filter(|setting| !setting.value.trim().is_empty());
    let name = match said {
        Some(setting) => setting.value.trim(),
        None => image::base_name(&container.image).unwrap_or(&container.name),
    };
    let own = said.is_some_and(|setting| setting.for_port);
    if group && !own { format!("{name}-{}", port.number) } else { name.to_owned() }
}

/// What the container says, then what `--tags` makes of it, then the protocol unless it is tcp.
fn tags(
    container: &Container,
    metadata: &PortMetadata<'_>,
    port: Port,
    host: &Host,
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut tags = tags::split(metadata.value("tags").unwrap_or_default());
    match host.settings.tags.as_ref().map(|template| tags::from_template(template, container)) {
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
fn weights(metadata: &PortMetadata<'_>, notes: &mut Vec<String>) -> Option<Weights> {
    let setting = metadata.get("weight")?;
    let (passing, warning) = setting.value.split_once(',').unwrap_or((setting.value, "1"));
    // Consul's own limit is that of DNS.
    let weight = |text: &str| text.trim().parse().ok().filter(|weight| *weight <= 65_535);
    let weights = weight(passing).filter(|passing| *passing > 0).zip(weight(warning));
    if weights.is_none() {
        notes.push(format!("{} is ignored: {:?} is no weight such as 10 or 10,1", setting.spelled, setting.value));
    }
    weights.map(|(passing, warning)| Weights { passing, warning })
}

fn out(container: &Container, host: &Host, now: Timestamp) -> Option<OutReason> {
    if drain_rest(container, host, now).is_some() {
        Some(OutReason::Draining)
    } else if container.paused {
        Some(OutReason::Paused)
    } else if crash::rest(container, &host.settings, now).is_some() {
        Some(OutReason::CrashLoop)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{docker::NetworkAddress, register::fixture::container};

    fn host() -> Host {
        Host {
            engine: "ENGINE".into(),
            hostname: "dockerhost".into(),
            advertised: "192.168.1.102".into(),
            settings: Settings::default(),
        }
    }

    fn with(settings: Settings) -> Host {
        Host { settings, ..host() }
    }

    /// `id | name | address:port | tags` for each port, or why there is none.
    fn table(container: &Container, host: &Host) -> Vec<String> {
        let now = "2026-11-20T10:10:00Z".parse().expect("a time");
        let line = |verdict: Verdict| match verdict.outcome {
            Ok(i) => format!("{} | {} | {}:{} | {}", i.id, i.name, i.address, i.port, i.tags.join(",")),
            Err(skip) => format!("{}: {skip}", verdict.port),
        };
        verdicts(container, &BTreeMap::new(), host, now).into_iter().map(line).collect()
    }

    #[test]
    fn one_port_takes_the_name_of_the_image() {
        let redis = Container { image: "progrium/redis".into(), ..container("redis.0") };
        let redis = redis.publish("6379/tcp", &["0.0.0.0:10000", "[::]:10000"]);
        assert_eq!(table(&redis, &host()), ["dockerhost:redis.0:6379 | redis | 192.168.1.102:10000 | "]);
    }

    #[test]
    fn several_ports_make_a_group() {
        let nginx = container("nginx.0").publish("443/tcp", &["0.0.0.0:4443"]).publish("80/tcp", &["0.0.0.0:8000"]);
        let lines = table(&nginx, &host());
        assert_eq!(
            lines,
            [
                "dockerhost:nginx.0:80 | nginx-80 | 192.168.1.102:8000 | ",
                "dockerhost:nginx.0:443 | nginx-443 | 192.168.1.102:4443 | ",
            ]
        );
        let named = nginx.env("SERVICE_443_NAME", "secure").env("SERVICE_443_ID", "one").env("SERVICE_TAGS", "b,a");
        let lines = table(&named, &host());
        assert_eq!(lines[1], "one | secure | 192.168.1.102:4443 | b,a");
        let ignored = named.env("SERVICE_80_IGNORE", "yes");
        assert_eq!(table(&ignored, &host())[0], "80/tcp: SERVICE_IGNORE is set");
    }

    #[test]
    fn an_exposed_port_does_not_count() {
        let nginx = container("n").publish("443/tcp", &[]).publish("80/tcp", &["0.0.0.0:8000"]);
        let lines = table(&nginx, &host());
        assert_eq!(
            lines,
            ["dockerhost:n:80 | nginx | 192.168.1.102:8000 | ", "443/tcp: it is not published on the host"]
        );
    }

    #[test]
    fn udp_and_sctp_have_ids_and_tags_of_their_own() {
        let dns = container("d").publish("53/tcp", &["0.0.0.0:1"]).publish("53/udp", &["0.0.0.0:2"]);
        let dns = dns.publish("53/sctp", &["0.0.0.0:3"]).env("SERVICE_53_NAME", "dns");
        assert_eq!(
            table(&dns, &host()),
            [
                "dockerhost:d:53 | dns | 192.168.1.102:1 | ",
                "dockerhost:d:53:udp | dns | 192.168.1.102:2 | udp",
                "dockerhost:d:53:sctp | dns | 192.168.1.102:3 | sctp",
            ]
        );
    }

    #[test]
    fn the_place_that_others_reach_best() {
        let forced = with(Settings { ip: Some("10.1.2.3".into()), ..Settings::default() });
        let cases: [(&[&str], &str, &str); 6] = [
            (&["[::]:8000", "0.0.0.0:8000"], "192.168.1.102:8000", "10.1.2.3:8000"),
            (&["0.0.0.0:1", "10.0.0.5:2"], "10.0.0.5:2", "10.1.2.3:1"),
            (&["0.0.0.0:1", "10.1.2.3:2"], "10.1.2.3:2", "10.1.2.3:2"),
            (&["[2001:db8::5]:2", "10.0.0.5:3"], "10.0.0.5:3", "10.1.2.3:3"),
            (&["127.0.0.1:1", "0.0.0.0:2"], "192.168.1.102:2", "10.1.2.3:2"),
            (&["127.0.0.1:1"], "80/tcp: it is published on a loopback address only", "10.1.2.3:1"),
        ];
        for (places, expected, with_ip) in cases {
            let web = container("w").publish("80/tcp", places);
            assert!(table(&web, &host())[0].contains(expected), "{places:?}");
            assert!(table(&web, &forced)[0].contains(with_ip), "{places:?}");
        }
    }

    #[test]
    fn on_the_network_of_the_host_exposed_ports_are_open() {
        let mut web = container("w");
        web.network_mode = "host".into();
        web.exposed = ["80/tcp".parse().expect("a port"), "443/tcp".parse().expect("a port")].into();
        let lines = table(&web, &host());
        assert_eq!(lines[0], "dockerhost:w:80 | nginx-80 | 192.168.1.102:80 | ");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn an_image_without_a_name_leaves_the_name_of_the_container() {
        let by_id = Container { image: "sha256:1234".into(), ..container("web-1") }.publish("80/tcp", &["0.0.0.0:1"]);
        assert!(table(&by_id, &host())[0].contains("| web-1 |"));
    }

    #[test]
    fn the_container_may_say_its_address() {
        let web = container("w").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_ADDRESS", "edge.example");
        assert!(table(&web, &host())[0].contains("| edge.example:8000 |"));
        let web = web.env("SERVICE_80_ADVERTISE_PORT", "443");
        assert!(table(&web, &host())[0].contains("| edge.example:443 |"));
        let wrong = container("w").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_ADVERTISE_PORT", "many");
        let verdict = verdicts(&wrong, &BTreeMap::new(), &host(), Timestamp::now()).remove(0);
        assert_eq!(verdict.notes, ["SERVICE_ADVERTISE_PORT is ignored: \"many\" is no port"]);
        assert_eq!(verdict.outcome.map(|instance| instance.port), Ok(8000));
    }

    #[test]
    fn an_address_that_nobody_else_reaches_is_ignored() {
        for address in ["0.0.0.0", "::", "127.0.0.1", "::1", "localhost", "http://x:80/", "x;}evil"] {
            let web = container("w").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_ADDRESS", address);
            let verdict = verdicts(&web, &BTreeMap::new(), &host(), Timestamp::now()).remove(0);
            assert_eq!(
                verdict.notes,
                [format!(
                    "{address:?} from SERVICE_ADDRESS is ignored: it is no address or host name that others reach"
                )]
            );
            assert_eq!(verdict.outcome.map(|instance| instance.address), Ok("192.168.1.102".into()));
        }
        let web = container("w").publish("80/tcp", &["0.0.0.0:8000"]);
        let empty = Settings { ip: Some(String::new()), ..Settings::default() };
        assert!(table(&web, &with(empty))[0].contains("| 192.168.1.102:8000 |"), "an empty --ip is none");
    }

    #[test]
    fn an_address_from_a_label() {
        let mut web = container("w").publish("80/tcp", &["0.0.0.0:8000"]);
        let settings =
            Settings { use_ip_from_label: Some("ip".into()), ip: Some("1.2.3.4".into()), ..Settings::default() };
        assert!(table(&web, &with(settings.clone()))[0].contains("| 1.2.3.4:8000 |"), "without the label: as ever");
        web.labels.insert("ip".into(), "10.42.1.9/16".into());
        assert!(table(&web, &with(settings.clone()))[0].contains("| 10.42.1.9:8000 |"));
        web.networks.insert("bridge".into(), NetworkAddress { v4: Some([172, 17, 0, 2].into()), v6: None });
        assert!(table(&web, &with(Settings { internal: true, ..settings }))[0].contains("| 10.42.1.9:80 |"));
    }

    #[test]
    fn internal_means_the_containers_own_address_and_port() {
        let v4 = |last| NetworkAddress { v4: Some([172, 18, 0, last].into()), v6: None };
        let mut web =
            container("w").publish("80/tcp", &["0.0.0.0:8000"]).publish("81/tcp", &[]).env("SERVICE_NAME", "web");
        let internal = Settings { internal: true, ..Settings::default() };
        assert_eq!(table(&web, &with(internal.clone()))[0], "80/tcp: the container has no address of its own");
        web.networks = [("a".to_owned(), v4(1)), ("b".to_owned(), v4(2))].into();
        let lines = table(&web, &with(internal.clone()));
        assert_eq!(lines[1], "dockerhost:w:81 | web-81 | 172.18.0.1:81 | ", "not published, but reachable there");
        web.network_mode = "b".into();
        assert!(table(&web, &with(internal.clone()))[0].contains("| 172.18.0.2:80 |"));
        let named = Settings { network: Some("a".into()), ..internal.clone() };
        assert!(table(&web, &with(named))[0].contains("| 172.18.0.1:80 |"));
        let elsewhere = Settings { network: Some("c".into()), ..internal.clone() };
        assert!(table(&web, &with(elsewhere))[0].contains("| 172.18.0.2:80 |"), "it is not on that network");
        web.networks.insert("bridge".into(), v4(3));
        web.network_mode = "default".into();
        assert!(table(&web, &with(internal.clone()))[0].contains("| 172.18.0.3:80 |"));
        web.network_mode = "host".into();
        assert!(table(&web, &with(internal))[0].contains("| 192.168.1.102:80 |"));
    }

    #[test]
    fn in_the_network_of_another_container() {
        let pause = container("pause").publish("80/tcp", &["0.0.0.0:8000"]);
        let mut middle = container("middle");
        middle.network_mode = format!("container:{}", pause.id);
        let mut app = container("app").publish("80/tcp", &[]).publish("9/tcp", &[]);
        app.network_mode = format!("container:{}", middle.id);
        app.bindings.clear();
        let place = |pause: Container| {
            let all = [pause, middle.clone(), app.clone()].map(|c| (c.id.clone(), Sight::Seen(std::sync::Arc::new(c))));
            let places = verdicts(&app, &all.into(), &host(), Timestamp::now()).into_iter().map(|verdict| {
                verdict.outcome.map_or_else(|skip| skip.to_string(), |i| format!("{} {}:{}", i.name, i.address, i.port))
            });
            places.collect::<Vec<_>>()
        };
        assert_eq!(place(pause.clone())[1], "nginx-80 192.168.1.102:8000", "what the owner of the network published");
        let mut own = pause;
        own.networks.insert("mynet".into(), NetworkAddress { v4: Some([172, 20, 0, 9].into()), v6: None });
        assert_eq!(place(own)[0], "nginx-9 172.20.0.9:9");
    }

    #[test]
    fn explicit_asks_for_a_name() {
        let settings = Settings { explicit: true, ..Settings::default() };
        let web = container("w").publish("443/tcp", &["0.0.0.0:1"]).publish("80/tcp", &["0.0.0.0:2"]);
        let lines = table(&web.env("SERVICE_80_NAME", "web"), &with(settings));
        assert_eq!(lines[0], "dockerhost:w:80 | web | 192.168.1.102:2 | ");
        assert_eq!(lines[1], "443/tcp: it has no SERVICE_NAME, and --explicit asks for one");
    }

    #[test]
    fn out_of_traffic_while_it_stops_or_is_paused() {
        let web = container("w").publish("80/tcp", &["0.0.0.0:1"]);
        let out = |container: &Container, now: &str| {
            verdicts(container, &BTreeMap::new(), &host(), now.parse().expect("a time"))[0]
                .outcome
                .as_ref()
                .expect("registered")
                .out
        };
        let now = "2026-11-20T12:00:05Z";
        assert_eq!(out(&web, now), None);
        let stopping = Container { stop_sent: "2026-11-20T12:00:00Z".parse().ok(), ..web.clone() };
        assert_eq!(out(&stopping, now), Some(OutReason::Draining));
        assert_eq!(due(&stopping, &host(), now.parse().expect("a time")), Some(Duration::from_secs(595)));
        assert_eq!(out(&stopping, "2026-11-20T12:10:00Z"), None, "it did not stop after all");
        assert_eq!(out(&Container { paused: true, ..web.clone() }, now), Some(OutReason::Paused));
        assert_eq!(verdicts(&Container { running: false, ..web }, &BTreeMap::new(), &host(), Timestamp::now()), []);
    }
}
