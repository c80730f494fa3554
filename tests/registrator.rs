//! Replays recorded runs of registrator: the same containers and command line give the same registrations.

mod common;
#[path = "registrator/differences.rs"]
mod differences;
#[path = "registrator/life_cycle.rs"]
mod life_cycle;
#[path = "registrator/run.rs"]
mod run;

use std::collections::BTreeSet;

use differences::DIFFERENCES;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Recorded with gliderlabs/registrator v7.4.0 (6bfadbc) between a fake Docker API and a recording fake Consul.
const RECORDED: &str = include_str!("registrator/registrator.json");

/// The agent's advertised address in runs where registrator could not resolve its own host name.
const ADVERTISED: &str = "192.168.1.102";

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    title: String,
    containers: Vec<Value>,
    flags: Vec<String>,
    env: Map<String, Value>,
    hostname: String,
    hostname_resolves_to: Option<String>,
    /// `None` if the run did not end by itself.
    exit_code: Option<i32>,
    expect: Vec<Value>,
    expect_token_header: Option<String>,
}

impl Case {
    fn run(&self) -> run::Outcome {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text")));
        let advertised = self.hostname_resolves_to.as_deref().unwrap_or(ADVERTISED);
        run::register(self.containers.clone(), &flags, &env.collect::<Vec<_>>(), advertised)
    }

    /// Registrator's registrations, without the check settings that it copies into Meta.
    fn expected(&self) -> Vec<String> {
        let mut bodies = self.expect.clone();
        for meta in bodies.iter_mut().filter_map(|body| body.get_mut("Meta")?.as_object_mut()) {
            meta.retain(|key, _| !key.starts_with("check_"));
        }
        run::lines(&bodies)
    }
}

fn recorded() -> Vec<Case> {
    serde_json::from_str::<Recorded>(RECORDED).expect("the recorded runs").cases
}

#[test]
fn the_same_containers_give_the_same_registrations() {
    let mut wrong = Vec::new();
    for case in recorded() {
        assert_eq!(case.hostname, "dockerhost", "{}: the fake engine's own name", case.title);
        let different = DIFFERENCES.iter().find(|difference| difference.title == case.title);
        let theirs = (case.exit_code.unwrap_or(0), case.expected());
        let expected = different.map_or_else(
            || theirs.clone(),
            |different| (different.code, different.lines.iter().map(ToString::to_string).collect()),
        );
        if different.is_some() && theirs == expected {
            wrong.push(format!("{}: listed as different, but it is not", case.title));
        }
        let outcome = case.run();
        if (outcome.code, &outcome.lines) != (Some(expected.0), &expected.1) {
            let reason = different.map_or("the same", |different| different.reason);
            wrong.push(format!("{} ({reason})\n  expected {expected:?}\n  got {outcome:#?}", case.title));
        }
        let strange =
            outcome.tokens.iter().find(|token| **token != case.expect_token_header.clone().unwrap_or_default());
        wrong.extend(strange.map(|token| format!("{}: a request with the token {token:?}", case.title)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_difference_names_a_recorded_run() {
    let titles: BTreeSet<_> = recorded().into_iter().map(|case| case.title).collect();
    let unknown: Vec<_> = DIFFERENCES.iter().filter(|difference| !titles.contains(difference.title)).collect();
    assert!(unknown.is_empty(), "{:?}", unknown.iter().map(|difference| difference.title).collect::<Vec<_>>());
}
