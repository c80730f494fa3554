//! Many watches of an agent that accepts few connections.

use std::{fs, num::NonZeroUsize};

use portreeve::consul::{Client, Error, QueryOptions, Settings};

use crate::{
    dev_agent::{DevAgent, Setup},
    settings,
    watched::{Watched, key},
};

/// The number of open connections to this loopback port, counted on the side of the client.
pub(crate) fn connections_to(port: u16) -> usize {
    let remote = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("a table of connections");
    let established = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(&remote) && fields.next() == Some("01")
    };
    table.lines().filter(established).count()
}

#[tokio::test]
async fn three_hundred_watches_share_sixty_four_permits() {
    let agent = DevAgent::start().await;
    let mut watched = Watched::new(Client::new(&settings(&agent.address())).expect("a client"));
    let keys: Vec<_> = (0..300).map(|number| format!("k/{number}")).collect();
    for name in &keys {
        agent.put(&format!("/v1/kv/{name}"), "before").await;
    }
    let queries: Vec<_> = keys.iter().map(|name| key(name)).collect();
    let _running: Vec<_> = queries.iter().map(|query| watched.watch(query)).collect();
    let mut most = 0;
    for value in ["before", "after", "at last"] {
        for name in &keys {
            agent.put(&format!("/v1/kv/{name}"), value).await;
        }
        for query in &queries {
            watched.until_key(query, Some(value)).await;
            most = most.max(connections_to(agent.http_port()));
        }
    }
    // 64 blocking queries, 8 immediate ones, those of the test, and some that the client opened although another one
    // became free.
    assert!(most <= 100, "{most} connections: an agent accepts 200, and other programs need some");
}

#[tokio::test]
async fn a_limit_of_the_agent_is_logged_and_fewer_permits_stay_below_it() {
    let extra = "limits { http_max_conns_per_client = 40 }";
    let agent = DevAgent::start_with(Setup { extra: extra.into(), ..Setup::default() }).await;
    let few = Settings { connections: NonZeroUsize::new(10).expect("not 0"), ..settings(&agent.address()) };
    let mut watched = Watched::new(Client::new(&few).expect("a client"));
    let queries: Vec<_> = (0..60).map(|number| key(&format!("k{number}"))).collect();
    let _running: Vec<_> = queries.iter().map(|query| watched.watch(query)).collect();
    for query in &queries {
        watched.until_key(query, None).await;
    }

    let client = Client::new(&settings(&agent.address())).expect("a client");
    let index = client.kv_get("k1", &QueryOptions::default()).await.expect("an answer").meta.index.expect("an index");
    let newer_than = Some((index, std::time::Duration::from_secs(2)));
    let calls = (0..60).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.kv_get("k1", &QueryOptions { newer_than, ..QueryOptions::default() }).await })
    });
    let mut hints = 0;
    for call in calls.collect::<Vec<_>>() {
        if let Err(error) = call.await.expect("no panic") {
            assert!(matches!(error, Error::Unreachable { .. }), "{error}");
            hints += usize::from(error.to_string().contains("limits.http_max_conns_per_client"));
        }
    }
    assert!(hints > 0, "60 connections do not fit into 40");
}
