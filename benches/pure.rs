//! The pure functions of `register`: to parse a container, to derive ten thousand instances, and to plan their writes.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use portreeve::{
    docker::{Container, NetworkAddress, Observation, Port, PortBinding, Protocol},
    register::{
        Settings,
        desired::{self, InstanceCache},
        host::Host,
        instances,
        metadata::Metadata,
        plan::{self, PlanContext},
    },
    registry::{Entries, Entry},
};

/// The number of containers of a large host.
const CONTAINERS: u16 = 10_000;

fn host() -> Host {
    Host {
        engine: "ENGINE".into(),
        hostname: "host-1".into(),
        data_dir: "/var/lib/docker".into(),
        advertised: "10.0.0.1".into(),
        settings: Settings::default(),
    }
}

/// A typical container of a Compose file: variables of the image, labels of Compose, tags, a route and a check.
fn container(number: u16) -> Container {
    let name = format!("shop-web-{number}");
    let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let variables = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("NGINX_VERSION", "1.27.0"), ("SERVICE_TAGS", "a,b")];
    let labels = [
        ("com.docker.compose.project", "shop"),
        ("com.docker.compose.service", "web"),
        ("SERVICE_NAME", "web"),
        ("SERVICE_80_CHECK_HTTP", "/up"),
        ("SERVICE_80_CHECK_INTERVAL", "5s"),
        ("portreeve.host", "shop.example"),
    ];
    let port = Port { number: 80, protocol: Protocol::Tcp };
    let binding = |ip: &str| PortBinding { ip: ip.parse().expect("an address"), port: 20_000 + number };
    Container {
        id: format!("{name:0>64}"),
        name,
        image: "nginx:1.27".into(),
        env: variables.map(pair).into(),
        labels: labels.map(pair).into(),
        running: true,
        paused: false,
        exit_code: None,
        health: None,
        starts: Vec::new(),
        started_at: "2026-11-20T10:00:00.123456789Z".into(),
        exposed_ports: [port].into(),
        invalid_ports: Vec::new(),
        bindings: [(port, vec![binding("0.0.0.0"), binding("::")])].into(),
        network_mode: "shop_default".into(),
        networks: [(
            "shop_default".into(),
            NetworkAddress { v4: Some([172, 18, 0, 2].into()), ..NetworkAddress::default() },
        )]
        .into(),
        stop_signal: 15,
        stop_signal_sent_at: None,
    }
}

fn bench(criterion: &mut Criterion) {
    let (host, now, none) = (host(), Timestamp::UNIX_EPOCH, BTreeMap::new());
    let one = container(0);
    criterion.bench_function("metadata of a container", |b| b.iter(|| Metadata::read(black_box(&one))));
    criterion.bench_function("container to instances", |b| {
        b.iter(|| instances::port_outcomes(black_box(&one), &none, &host, now));
    });

    let containers: BTreeMap<_, _> = (0..CONTAINERS)
        .map(container)
        .map(|container| (container.id.clone(), Observation::Inspected(Arc::new(container))))
        .collect();
    let (empty, ready) = (Entries::default(), BTreeMap::new());
    let wanted = desired::desired_instances(&containers, &host, &empty, now);
    let owned = wanted.instances.iter().map(|(id, instance)| (id.clone(), Entry::expected(instance))).collect();
    let actual = Entries { owned, ..Entries::default() };
    let conditions = PlanContext::default();
    let mut large = criterion.benchmark_group("10,000 containers");
    large.sample_size(20);
    large.bench_function("all instances", |b| {
        b.iter(|| desired::desired_instances(black_box(&containers), &host, &actual, now))
    });
    let (mut cache, mut observations) = (InstanceCache::default(), containers.clone());
    cache.desired_instances(&containers, &host, &actual, &ready, now);
    large.bench_function("all instances, one has changed", |b| {
        b.iter(|| {
            let (id, changed) = (format!("{:0>64}", "shop-web-7"), Arc::new(container(7)));
            observations.insert(id, Observation::Inspected(changed));
            cache.desired_instances(black_box(&observations), &host, &actual, &ready, now)
        });
    });
    large.bench_function("plan, in line", |b| b.iter(|| plan::plan(&wanted, black_box(&actual), &conditions)));
    large
        .bench_function("plan, nothing registered", |b| b.iter(|| plan::plan(&wanted, black_box(&empty), &conditions)));
    large.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
