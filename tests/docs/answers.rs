//! Answers to the queries of the examples.

use std::sync::LazyLock;

use portreeve::{
    fixture::{Fixture, FixtureFormat},
    registry::{
        Answer, CaLeaf, CaRoot, CaRoots, FileContent, KeyPair, NodeRecord, NodeService, NodeServices, Query,
        ServiceRecord,
    },
};

/// Values for keys without a fixture. A template may expect a text, a number, a list or an object.
pub(crate) const VALUES: [&str; 4] = ["1", "true", "[\"1\"]", "{\"a\": \"1\"}"];

/// The registry of the examples in the reference.
static REFERENCE: LazyLock<Fixture> = LazyLock::new(|| {
    let text = include_str!("../../src/fixture/reference.yaml");
    Fixture::parse(text, FixtureFormat::Yaml).unwrap_or_else(|error| panic!("{error}"))
});

/// The answer of the page's fixture, else of the reference's fixture, else a made-up one.
pub(crate) fn answer(fixture: &Fixture, query: &Query, value: &str) -> Answer {
    let known = [fixture, &*REFERENCE].into_iter().filter_map(|fixture| fixture.answer(query).ok());
    known.into_iter().find(|answer| !is_empty(answer)).unwrap_or_else(|| made_up(query, value))
}

fn is_empty(answer: &Answer) -> bool {
    match answer {
        Answer::Service(records) => records.is_empty(),
        Answer::Services(names) => names.is_empty(),
        Answer::Nodes(nodes) => nodes.is_empty(),
        Answer::Node(node) => node.is_none(),
        Answer::Key(value) => value.is_none(),
        Answer::Keys(pairs) => pairs.is_empty(),
        Answer::File(content) => *content == FileContent::Missing,
        Answer::Datacenters(_) | Answer::CaRoots(_) | Answer::CaLeaf(_) => false,
    }
}

fn made_up(query: &Query, value: &str) -> Answer {
    let text = |text: &str| text.to_owned();
    let node = || NodeRecord { node: text("node-1"), address: text("10.0.0.1"), ..NodeRecord::default() };
    match query {
        Query::Service(query) => instances(&query.name),
        Query::Prepared { name, .. } => instances(name),
        Query::Services { .. } => Answer::Services([(text("web"), vec![text("v1")])].into()),
        Query::Nodes { .. } => Answer::Nodes(vec![node()]),
        Query::Node { .. } => {
            let service = NodeService { id: text("web-1"), name: text("web"), port: 8080, ..NodeService::default() };
            Answer::Node(Some(NodeServices { node: node(), services: vec![service] }))
        }
        Query::Datacenters { .. } => Answer::Datacenters(vec![text("dc1")]),
        Query::Key { .. } => Answer::Key(Some(text(value))),
        Query::Keys { prefix, .. } => {
            let pair = |key: &str| {
                let path = format!("{}/{key}", prefix.trim_end_matches('/'));
                KeyPair { path, key: text(key), value: Some(text(value)), ..KeyPair::default() }
            };
            Answer::Keys(vec![pair("a"), pair("b")])
        }
        Query::CaRoots => {
            let root = CaRoot { id: text("root"), name: text("root"), active: true, ..CaRoot::default() };
            Answer::CaRoots(CaRoots { active_root_id: text("root"), roots: vec![root], ..CaRoots::default() })
        }
        Query::CaLeaf { service } => Answer::CaLeaf(CaLeaf { service: service.clone(), ..CaLeaf::default() }),
        Query::File { .. } => Answer::File(FileContent::Text(text(value))),
    }
}

/// Two instances with a route, as `SERVICE_HOST` and `SERVICE_PATH` set it.
fn instances(service: &str) -> Answer {
    let instance = |number: u16| ServiceRecord {
        node: format!("node-{number}"),
        node_address: format!("10.0.0.{number}"),
        id: format!("{service}-{number}"),
        name: service.to_owned(),
        address: format!("10.0.0.{number}"),
        port: 8080,
        meta: [("host", "www.example.com"), ("path", "/")].map(|(key, value)| (key.into(), value.into())).into(),
        weight: 1,
        healthy: true,
        ..ServiceRecord::default()
    };
    Answer::Service(vec![instance(1), instance(2)])
}
