//! Agents that restart, with and without their data.

use portreeve::{
    consul::ConsulLedger,
    registry::{Ledger, LedgerError},
};

use crate::{
    client,
    dev_agent::{DevAgent, PATIENCE, Setup},
    ledger::instance,
    permits::connections_to,
    watched::{Watched, key, service},
};

#[tokio::test]
async fn an_agent_that_lost_its_data_is_read_again() {
    let mut agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut watched = Watched::new(client(&agent.address()));
    // These writes raise the index, so it is lower after the restart.
    for number in 0..200 {
        agent.put("/v1/kv/counter", number.to_string()).await;
    }
    let (web, counter) = (service("web"), key("counter"));
    let _running = [watched.watch(&web), watched.watch(&counter)];
    ledger.put(&instance("web-1", 1), None).await.expect("registered");
    watched.until_ids(&web, &["web-1"]).await;
    watched.until_key(&counter, Some("199")).await;

    agent.stop();
    let error = ledger.put(&instance("web-1", 1), None).await.expect_err("the agent is stopped");
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error:?}");
    assert!(watched.known(&web).is_some(), "the last good answer stays");
    agent.start_again().await;
    watched.until_ids(&web, &[]).await;
    watched.until_key(&counter, None).await;
    ledger.put(&instance("web-2", 2), None).await.expect("registered");
    watched.until_ids(&web, &["web-2"]).await;
}

#[tokio::test]
async fn an_agent_that_kept_its_data_is_read_further() {
    let mut agent = DevAgent::start_with(Setup { durable: true, ..Setup::default() }).await;
    let mut watched = Watched::new(client(&agent.address()));
    let (one, two) = (key("one"), key("two"));
    let _running = [watched.watch(&one), watched.watch(&two)];
    agent.put("/v1/kv/one", "1").await;
    watched.until_key(&one, Some("1")).await;
    agent.stop();
    agent.start_again().await;
    agent.put("/v1/kv/two", "2").await;
    watched.until_key(&two, Some("2")).await;
    watched.until_key(&one, Some("1")).await;
}

#[tokio::test]
async fn a_watch_that_starts_without_an_agent_waits_for_it() {
    let mut agent = DevAgent::start().await;
    agent.stop();
    let mut watched = Watched::new(client(&agent.address()));
    let one = key("one");
    let _running = watched.watch(&one);
    agent.start_again().await;
    watched.until_key(&one, None).await;
}

#[tokio::test]
async fn a_restart_does_not_reduce_the_capacity() {
    let mut agent = DevAgent::start_with(Setup { durable: true, ..Setup::default() }).await;
    let mut watched = Watched::new(client(&agent.address()));
    let queries: Vec<_> = (0..60).map(|number| key(&format!("k{number}"))).collect();
    let _running: Vec<_> = queries.iter().map(|query| watched.watch(query)).collect();
    for round in 0..6 {
        agent.put("/v1/kv/k0", round.to_string()).await;
        watched.until_key(&queries[0], Some(&round.to_string())).await;
        let begun = std::time::Instant::now();
        while connections_to(agent.http_port()) < queries.len() {
            let open = connections_to(agent.http_port());
            assert!(begun.elapsed() < PATIENCE, "round {round}: {open} connections for {} watches", queries.len());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        match round % 2 {
            0 => agent.stop(),
            _ => agent.terminate(),
        }
        agent.start_again().await;
    }
}
