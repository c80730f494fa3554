//! End to end: a container on a random port, Docker, Consul, nginx, and a client.

mod common;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    time::{Duration, SystemTime},
};

use common::witness;
use portreeve_lab::{
    BALANCER_URL, Lab,
    docker::Container,
    http::Request,
    namespace, portreeve,
    stream::Instance,
    wait::{LONG, wait_until},
};

const WEB: &[&str] = &["--env", "SERVICE_NAME=web"];

fn lab(name: &str, hosts: &[u8]) -> Lab {
    let lab = Lab::builder(name).docker(hosts).consul().nginx().up();
    hosts.iter().for_each(|host| drop(lab.register(*host)));
    lab
}

/// Sends one request; returns the name of the container that answers.
fn ask(lab: &Lab) -> Result<String, String> {
    let answer = lab.client().get(BALANCER_URL).map_err(|error| error.to_string())?;
    if answer.status == 200 {
        Instance::of(&answer).map(|instance| instance.name)
    } else {
        Err(answer.status.to_string())
    }
}

/// Waits until exactly these containers answer, in three rounds of requests.
#[track_caller]
fn until_answered(lab: &Lab, containers: &[&Container]) {
    let expected: BTreeSet<_> = containers.iter().map(|container| container.name().to_owned()).collect();
    wait_until(&format!("answers of {expected:?}"), LONG, || {
        let answers: Result<BTreeSet<_>, _> = (0..6 * expected.len()).map(|_| ask(lab)).collect();
        if answers.as_ref() == Ok(&expected) { Ok(()) } else { Err(format!("{answers:?}")) }
    });
}

/// Waits until this container answers. Returns the time since `since`.
#[track_caller]
fn until_first_answer(lab: &Lab, name: &str, since: SystemTime) -> Duration {
    wait_until(&format!("an answer of {name}"), LONG, || match ask(lab) {
        Ok(answered) if answered == name => Ok(()),
        other => Err(format!("{other:?}")),
    });
    since.elapsed().unwrap_or_default()
}

#[test]
fn containers_come_move_and_go_under_a_steady_stream_of_requests() {
    let lab = lab("story", &[1, 2]);
    let render = lab.render();
    wait_until("503 while there is no container", LONG, || match ask(&lab) {
        Err(status) if status == "503" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    // The first container, on a random port.
    let events = lab.docker(1).events();
    let first = lab.docker(1).run("first", "v1", WEB);
    let started = events.find("start", "first", SystemTime::UNIX_EPOCH).at;
    println!(
        "first container: {:?} from Docker's start event to the first answer",
        until_first_answer(&lab, "first", started)
    );
    assert_eq!(witness::instances(&lab, "web", false).len(), 1, "one entry, although Docker lists IPv4 and IPv6");

    // A container on a second host.
    let second = lab.docker(2).run("second", "v1", WEB);
    until_answered(&lab, &[&first, &second]);

    // A restart changes the port. Once the new address is served, no request goes to the old port.
    let stream = lab.client().stream(BALANCER_URL, 50);
    let (old, reloads) = (first.port(8080), lab.nginx().reloads());
    first.restart();
    let new = first.port(8080);
    assert_ne!(old, new, "Docker picks the next port");
    wait_until("the new address in nginx", LONG, || {
        let configuration = lab.nginx().configuration();
        if configuration.contains(&format!(":{new}")) { Ok(()) } else { Err(configuration) }
    });
    until_answered(&lab, &[&first, &second]);
    let stranger =
        namespace::in_network(lab.host(1).network(), || TcpListener::bind(("0.0.0.0", old)).expect("the port is free"));
    stranger.set_nonblocking(true).expect("a socket");
    (0..50).for_each(|_| drop(ask(&lab).expect("an answer")));
    assert!(stranger.accept().is_err(), "a request went to the old address");
    assert!(lab.nginx().reloads() > reloads);
    assert!(witness::instances(&lab, "web", false).iter().any(|one| one.at.ends_with(&format!(":{new}"))));

    // A signal that is not a stop signal changes nothing.
    let (reloads, before) = (lab.nginx().reloads(), witness::instances(&lab, "web", false));
    first.kill("HUP");
    (0..20).for_each(|_| drop(ask(&lab).expect("an answer")));
    assert_eq!((lab.nginx().reloads(), witness::instances(&lab, "web", false)), (reloads, before));

    // `render` is killed while containers change. It catches up at its next start, and then has nothing to do.
    render.kill();
    second.stop();
    let third = lab.docker(2).run("third", "v1", WEB);
    let log_length = render.log().len();
    render.start();
    until_answered(&lab, &[&first, &third]);
    wait_until("the end of its reload", LONG, || match &render.log()[log_length..] {
        later if later.contains("in effect") => Ok(()),
        later => Err(later.to_owned()),
    });
    let (reloads, log_length) = (lab.nginx().reloads(), render.log().len());
    render.kill();
    render.start();
    wait_until("its look at everything", LONG, || match &render.log()[log_length..] {
        later if later.contains("in sync") => Ok(()),
        later => Err(later.to_owned()),
    });
    assert_eq!(lab.nginx().reloads(), reloads, "nothing changed, so nothing was reloaded");

    let failed: Vec<_> = stream.stop().into_iter().filter_map(|sample| sample.outcome.err()).collect();
    assert_eq!(failed, [""; 0], "requests were lost");
}

#[test]
fn a_restart_of_consul_during_changes_needs_no_intervention() {
    let lab = lab("consul-away", &[1]);
    let render = lab.render();
    let first = lab.docker(1).run("first", "v1", WEB);
    until_answered(&lab, &[&first]);
    lab.consul().stop();
    // nginx keeps its configuration.
    (0..20).for_each(|_| assert_eq!(ask(&lab).as_deref(), Ok("first")));
    let second = lab.docker(1).run("second", "v1", WEB);
    (0..20).for_each(|_| assert_eq!(ask(&lab).as_deref(), Ok("first")));
    lab.consul().start();
    until_answered(&lab, &[&first, &second]);
    first.stop();
    until_answered(&lab, &[&second]);
    assert!(render.running());
}

#[test]
fn a_rejected_candidate_or_template_changes_nothing_and_is_logged() {
    let lab = lab("refused", &[1]);
    let template = lab.host(3).outside("/etc/portreeve.hbs");
    let good = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/nginx/upstreams.conf.hbs"));
    let good = good.expect("the template that ships");
    // The value of a key becomes a part of the file: first a valid one, then one that nginx rejects.
    let with_key = format!("{good}\n# {{{{keyOr \"note\" \"none\"}}}}\n{{{{raw (keyOr \"extra\" \"\")}}}}\n");
    std::fs::write(&template, &with_key).expect("a file of the host");
    let render = portreeve::render_template(lab.host(3), "/etc/portreeve.hbs");
    let web = lab.docker(1).run("web", "v1", WEB);
    until_answered(&lab, &[&web]);
    let file = || lab.host(3).read(portreeve::DESTINATION);
    let put = |key: &str, value: &str| {
        let url = format!("http://192.168.50.101:8500/v1/kv/{key}");
        let put = Request::with("PUT", &url, value);
        assert_eq!(lab.client().send(&put).expect("consul answers").status, 200);
    };
    let (before, reloads) = (file(), lab.nginx().reloads());
    let untouched = || assert_eq!((file(), lab.nginx().reloads()), (before.clone(), reloads));
    let until_logged = |what: &str| {
        wait_until(what, LONG, || if render.log().contains(what) { Ok(()) } else { Err(render.log()) });
    };

    put("extra", "no_such_directive on;");
    until_logged("unknown directive \"no_such_directive\"");
    untouched();
    put("note", "two words; and more");
    until_logged("two words; and more");
    untouched();
    assert_eq!(ask(&lab).as_deref(), Ok("web"));

    // With valid values, all changes made meanwhile take effect.
    let other = lab.docker(1).run("other", "v1", WEB);
    put("extra", "");
    put("note", "fine");
    until_answered(&lab, &[&web, &other]);
    // The keys may take effect one by one, and after the container.
    wait_until("the new value of the key `note`", LONG, || {
        let file = file();
        if file.contains("# fine") { Ok(()) } else { Err(file) }
    });
    assert_eq!(witness::key(&lab, "note").as_deref(), Some("ZmluZQ=="), "Consul carries values in base64");

    // A template with a syntax error ends the start; the log names the file.
    std::fs::write(&template, "upstream x {\n{{#each (service \"web\")}}\n}\n").expect("a file of the host");
    render.stop();
    render.start();
    assert_eq!(render.wait().code(), Some(2));
    assert!(render.log().contains("portreeve.hbs"), "{}", render.log());
    assert_eq!(ask(&lab).as_deref().map(str::is_empty), Ok(false));
}
