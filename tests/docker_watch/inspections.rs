//! `portreeve register` with an engine whose inspections hang, fail, are slow or are interrupted. No entry of a running
//! container is removed at any moment, and all other containers are handled without delay.

use std::time::Duration;

use serde_json::json;

use super::common::{
    black_box::{Daemon, id, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

struct World {
    docker: FakeDocker,
    consul: FakeConsul,
}

impl World {
    /// `count` containers that an earlier run has registered.
    fn registered(count: u16) -> Self {
        let world = Self { docker: FakeDocker::start(), consul: FakeConsul::start("10.0.0.7") };
        for number in 0..count {
            world.docker.set(container(&name(number), 8000 + number));
        }
        let daemon = Daemon::start(&world.docker, &world.consul, &[]);
        until("the first registrations", || world.consul.count() == usize::from(count));
        assert_eq!(daemon.stop(), Some(0));
        world
    }

    fn start(&self, arguments: &[&str]) -> Daemon {
        Daemon::start(&self.docker, &self.consul, arguments)
    }

    /// Waits for further lists.
    fn until_lists(&self, more: usize) {
        let lists = || self.docker.count("/containers/json");
        let before = lists();
        until("lists", || lists() >= before + more);
    }

    /// Checks that another container is registered and removed without delay.
    fn assert_others_are_handled(&self) {
        let before = self.consul.count();
        self.docker.run(container("other", 7000));
        until("the other container", || self.consul.ports().get("dockerhost:other:80") == Some(&7000));
        self.docker.die(&id("other"));
        until("its removal", || self.consul.count() == before);
    }

    /// Checks that no container but that of `assert_others_are_handled` was removed or put into maintenance mode.
    fn assert_nothing_was_removed(&self, daemon: &Daemon) {
        let writes = self.consul.writes();
        let lost = |write: &&String| {
            (write.contains("/deregister/") || write.contains("/maintenance/")) && !write.contains("other")
        };
        assert_eq!(writes.iter().filter(lost).collect::<Vec<_>>(), Vec::<&String>::new(), "{}", daemon.log());
    }
}

fn name(number: u16) -> String {
    format!("web-{number}")
}

fn entry(number: u16) -> String {
    format!("dockerhost:web-{number}:80")
}

#[test]
fn an_inspection_that_hangs_from_the_start() {
    let world = World::registered(4);
    let hung = id("web-0");
    world.docker.stall(&hung);
    world.docker.set(container("web-0", 9000));
    world.docker.set(container("web-1", 9001));
    let daemon = world.start(&["--resync", "200ms"]);
    until("the change beside it", || world.consul.ports()[&entry(1)] == 9001);
    world.assert_others_are_handled();
    world.until_lists(20);
    daemon.until_logged("container web-0: the entries stay as they are: did not inspect a container within 10s");
    world.docker.unstall(&hung);
    until("the change of the one that hung", || world.consul.ports()[&entry(0)] == 9000);
    world.assert_nothing_was_removed(&daemon);
}

#[test]
fn all_inspections_hang_from_the_start() {
    let world = World::registered(20);
    (0..20).for_each(|number| world.docker.stall(&id(&name(number))));
    let daemon = world.start(&["--resync", "200ms"]);
    world.assert_others_are_handled();
    world.until_lists(20);
    world.assert_others_are_handled();
    assert_eq!(world.consul.count(), 20);
    world.assert_nothing_was_removed(&daemon);
    daemon.until_logged(
        "containers web-0, web-1, web-2, web-3, web-4 and 15 others: the entries stay as they are: did not",
    );
    assert_eq!(daemon.log().matches("WARN").count(), 1, "{}", daemon.log());
    // A container that was removed meanwhile is missing when the engine answers.
    world.docker.unset(&id("web-7"));
    (0..20).for_each(|number| world.docker.unstall(&id(&name(number))));
    until("the removal", || world.consul.count() == 19);
    assert!(!world.consul.ids().contains(&entry(7)));
}

#[test]
fn a_first_session_that_is_interrupted_repeatedly() {
    let world = World::registered(40);
    world.docker.slow_down(Duration::from_millis(300));
    let daemon = world.start(&[]);
    for lists in 1..=3 {
        until("a session", || world.docker.count("/containers/json") > lists);
        world.docker.cut();
    }
    world.assert_others_are_handled();
    world.until_lists(0);
    assert_eq!(world.consul.count(), 40);
    world.assert_nothing_was_removed(&daemon);
}

#[test]
fn a_resync_before_the_end_of_the_first_inspections() {
    let world = World::registered(40);
    world.docker.slow_down(Duration::from_millis(500));
    let daemon = world.start(&["--resync", "100ms"]);
    world.until_lists(20);
    world.assert_others_are_handled();
    world.assert_nothing_was_removed(&daemon);
}

#[test]
fn an_inspection_that_fails() {
    let world = World::registered(4);
    let failing = id("web-0");
    world.docker.fail_inspections(&failing, true);
    let daemon = world.start(&["--resync", "200ms"]);
    world.assert_others_are_handled();
    world.until_lists(20);
    daemon.until_logged("container web-0: the entries stay as they are: failed to inspect a container: 500");
    assert_eq!(daemon.log().matches("container web-0").count(), 1, "{}", daemon.log());
    world.docker.set(container("web-0", 9000));
    world.docker.fail_inspections(&failing, false);
    until("the change", || world.consul.ports()[&entry(0)] == 9000);
    daemon.until_logged("recovered after");
    world.assert_nothing_was_removed(&daemon);
}

#[test]
fn an_inspection_that_hangs_while_another_container_is_recreated_without_events() {
    let world = World::registered(4);
    let daemon = world.start(&["--resync", "1h"]);
    daemon.until_logged("up to date");
    // Seen before, and hung with the next list; new, and hung.
    world.docker.stall(&id("web-3"));
    world.docker.event("update", &id("web-3"), &[]);
    world.docker.stall(&id("new"));
    world.docker.set(container("new", 9100));
    world.docker.unset(&id("web-0"));
    let mut recreated = container("web-0", 9000);
    recreated["Id"] = json!(id("aaaa"));
    world.docker.set(recreated);
    world.docker.cut();
    until("the new container under the old name", || world.consul.ports()[&entry(0)] == 9000);
    world.assert_others_are_handled();
    world.assert_nothing_was_removed(&daemon);
    world.docker.unstall(&id("new"));
    until("the new one", || world.consul.ports().get("dockerhost:new:80") == Some(&9100));
    assert!(!daemon.log().contains("claim"), "{}", daemon.log());
}

#[test]
fn hung_inspections_do_not_use_up_the_slots() {
    let world = World::registered(40);
    // They are more than there are slots, and first in the order.
    (0..20).for_each(|number| world.docker.stall(&id(&name(number))));
    (20..40).for_each(|number| world.docker.set(container(&name(number), 9000 + number)));
    let daemon = world.start(&["--resync", "1h"]);
    until("all that answer", || (20..40).all(|number| world.consul.ports()[&entry(number)] == 9000 + number));
    world.assert_nothing_was_removed(&daemon);
}

#[test]
fn a_container_in_the_network_of_one_whose_inspection_hangs() {
    let world = World::registered(1);
    let mut user = container("user", 0);
    user["HostConfig"]["NetworkMode"] = json!(format!("container:{}", id("web-0")));
    user["NetworkSettings"] = json!({"Ports": {}, "Networks": {}});
    user["Config"]["Env"] = json!(["SERVICE_NAME=user"]);
    world.docker.set(user);
    let daemon = world.start(&[]);
    until("its registration", || world.consul.ids().contains(&"dockerhost:user:80".to_owned()));
    assert_eq!(daemon.stop(), Some(0));
    world.docker.stall(&id("web-0"));
    let daemon = world.start(&["--resync", "200ms"]);
    world.assert_others_are_handled();
    world.until_lists(20);
    world.assert_nothing_was_removed(&daemon);
}

#[test]
fn containers_that_a_list_shows_again_are_kept_while_their_inspections_hang() {
    let world = World::registered(4);
    let daemon = world.start(&["--resync", "1h", "--max-removal", "0"]);
    daemon.until_logged("up to date");
    (0..4).for_each(|number| world.docker.unset(&id(&name(number))));
    world.docker.cut();
    daemon.until_logged("missing in Docker's list without an event");
    (0..4).for_each(|number| world.docker.stall(&id(&name(number))));
    (0..4).for_each(|number| world.docker.set(container(&name(number), 9000 + number)));
    for _ in 0..3 {
        let lists = world.docker.count("/containers/json");
        world.docker.cut();
        until("another list", || world.docker.count("/containers/json") > lists);
        world.assert_others_are_handled();
    }
    world.assert_nothing_was_removed(&daemon);
    (0..4).for_each(|number| world.docker.unstall(&id(&name(number))));
    until("the changes", || (0..4).all(|number| world.consul.ports()[&entry(number)] == 9000 + number));
}

#[test]
fn an_exit_is_handled_while_the_inspection_hangs() {
    let world = World::registered(3);
    let daemon = world.start(&["--resync", "1h", "--deregister", "on-success"]);
    daemon.until_logged("up to date");
    let asked = || world.docker.count(&format!("/containers/{}", "0".repeat(20)));
    let before = asked();
    let hang = |number| {
        world.docker.stall(&id(&name(number)));
        world.docker.event("update", &id(&name(number)), &[]);
    };
    (0..3).for_each(hang);
    until("the inspections that hang", || asked() >= before + 3);
    // The policy keeps the entry of a failure and removes the other one. The exit of an earlier run is ignored.
    let earlier = json!({"Type": "container", "Action": "die", "timeNano": 1_000_000_000,
        "Actor": {"ID": id("web-2"), "Attributes": {"exitCode": "0"}}});
    world.docker.send_line(&earlier.to_string());
    world.docker.event("die", &id("web-0"), &[("exitCode", "0")]);
    world.docker.event("die", &id("web-1"), &[("exitCode", "3")]);
    until("the removal", || world.consul.ids() == [entry(1), entry(2)]);
    world.assert_others_are_handled();
    assert_eq!(world.consul.ids(), [entry(1), entry(2)], "{}", daemon.log());
    let out = world.consul.writes().into_iter().filter(|write| write.contains("/maintenance/"));
    assert!(out.clone().count() == 1 && out.clone().all(|write| write.contains(&entry(1))), "{}", daemon.log());
}

#[test]
fn a_removed_or_stopped_container_while_its_inspection_hangs() {
    let world = World::registered(3);
    let daemon = world.start(&["--resync", "200ms"]);
    daemon.until_logged("up to date");
    (0..3).for_each(|number| world.docker.stall(&id(&name(number))));
    // One is removed, one is stopped, and one keeps running.
    world.docker.die(&id("web-0"));
    let mut stopped = container("web-1", 8001);
    stopped["State"] = json!({"Status": "exited", "Running": false});
    world.docker.set(stopped);
    world.docker.event("die", &id("web-1"), &[("exitCode", "0")]);
    world.docker.event("update", &id("web-2"), &[]);
    until("the removals", || world.consul.ids() == [entry(2)]);
    world.until_lists(5);
    assert_eq!(world.consul.ids(), [entry(2)], "{}", daemon.log());
}
