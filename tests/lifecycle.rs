//! The entries of containers through their life, with a real Docker engine and a real Consul cluster.

mod common;

use common::witness;
use portreeve_lab::{
    Lab,
    docker::Container,
    portreeve,
    wait::{LONG, wait_until},
};
use serde_json::Value;

const WEB: &[&str] = &["--env", "SERVICE_NAME=web"];
/// Mounts the host's programs into a container, since the app's image has none.
const SHELL: &[&str] =
    &["-v", "/usr:/usr:ro", "-v", "/bin:/bin:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro", "--stop-timeout=1"];

/// Waits until these are the ids of all entries, and of those in traffic.
#[track_caller]
fn until(lab: &Lab, what: &str, all: &[&str], in_traffic: &[&str]) {
    let ids = |passing| -> Vec<_> {
        let instances = witness::instances(lab, "web", passing).into_iter();
        instances.map(|instance| instance.id.trim_start_matches("host-1:").to_owned()).collect()
    };
    wait_until(what, LONG, || {
        let seen = (ids(false), ids(true));
        if seen.0 == all && seen.1 == in_traffic { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

/// A check of an entry: its status and its output.
fn check(lab: &Lab, id: &str) -> Result<(String, String), String> {
    let checks = lab.consul().ask(lab.host(1), "/v1/agent/checks")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let check = checks.get(id).ok_or_else(|| format!("no check {id}: {checks}"))?;
    Ok((text(&check["Status"]), text(&check["Output"])))
}

#[test]
fn the_life_of_containers() {
    let lab = Lab::builder("lifecycle").docker(&[1]).consul().up();
    let register = portreeve::register(
        lab.host(1),
        &["--deregister", "on-success", "--crash-starts", "4", "--crash-stable", "4s"],
    );
    let docker = lab.docker(1);
    let run = |name: &str, options: &[&str]| docker.run(name, "v1", &[WEB, options].concat());
    let cli = |words: &[&str]| docker.cli(words);

    // Pause, rename, update, networks.
    let first = run("first", &[]);
    until(&lab, "the first", &["first:8080"], &["first:8080"]);
    cli(&["pause", first.id()]);
    until(&lab, "paused", &["first:8080"], &[]);
    cli(&["unpause", first.id()]);
    until(&lab, "in traffic again", &["first:8080"], &["first:8080"]);
    cli(&["rename", "first", "second"]);
    until(&lab, "the new name in place of the old one", &["second:8080"], &["second:8080"]);
    let modified = || witness::instances(&lab, "web", false)[0].modified;
    let before = modified();
    cli(&["update", "--restart", "no", first.id()]);
    cli(&["network", "create", "net"]);
    cli(&["network", "connect", "net", first.id()]);
    let entry = || lab.consul().ask(lab.host(1), "/v1/agent/service/host-1:second:8080");
    let on_net = || entry().map(|entry| entry["TaggedAddresses"]["net"].is_object());
    wait_until("the second network's address", LONG, || match on_net() {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}: {:?}", entry())),
    });
    assert!(modified() > before);
    cli(&["network", "disconnect", "net", first.id()]);
    wait_until("one network's address", LONG, || match on_net() {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    first.remove();
    until(&lab, "nothing", &[], &[]);

    health(&lab, &run);
    failure(&lab, &run);
    crash_loop(&lab, &run);
    out_of_memory(&lab);

    // Started from an image id: the service gets the name of the image.
    let image = cli(&["image", "inspect", "--format", "{{.Id}}", "portreeve-app:v1"]);
    let by_id = cli(&["run", "--detach", "--publish-all", "--name", "by-id", &image]);
    wait_until("the name of the image", LONG, || {
        let names = witness::services(&lab);
        if names.contains_key("portreeve-app") { Ok(()) } else { Err(format!("{names:?}")) }
    });
    cli(&["rm", "--force", &by_id]);
    assert!(register.running(), "{}", register.log());
}

/// HEALTHCHECK: starting, healthy and unhealthy, each with the output of the last probe.
fn health(lab: &Lab, run: &dyn Fn(&str, &[&str]) -> Container) {
    let probe = "/bin/sh -c 'test -e /well && echo fine || { echo oh dear; exit 1; }'";
    let options = ["--health-cmd", probe, "--health-interval=300ms", "--health-retries=2", "--health-start-period=60s"];
    let sick = run("sick", &[SHELL, &options].concat());
    until(lab, "starting is critical", &["sick:8080"], &[]);
    let docker = lab.docker(1);
    docker.cli(&["exec", sick.id(), "/bin/sh", "-c", "echo > /well"]);
    until(lab, "healthy", &["sick:8080"], &["sick:8080"]);
    let until_check = |status: &str, output: &str| {
        wait_until(&format!("{status}: {output}"), LONG, || match check(lab, "service:host-1:sick:8080:docker") {
            Ok((is, says)) if is == status && says.contains(output) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    };
    until_check("passing", "fine");
    docker.cli(&["exec", sick.id(), "/bin/rm", "/well"]);
    until_check("critical", "oh dear");
    sick.remove();
    until(lab, "nothing", &[], &[]);
}

/// `--deregister on-success`: a failed container stays registered, out of traffic, until it is started or removed.
fn failure(lab: &Lab, run: &dyn Fn(&str, &[&str]) -> Container) {
    let script = "trap 'exit 3' USR1; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let docker = lab.docker(1);
    let id = shell(lab, "fails", &[], script);
    until(lab, "running", &["fails:8080"], &["fails:8080"]);
    docker.cli(&["kill", "--signal", "USR1", &id]);
    until(lab, "failed", &["fails:8080"], &[]);
    docker.cli(&["start", &id]);
    until(lab, "running again", &["fails:8080"], &["fails:8080"]);
    docker.cli(&["stop", &id]);
    until(lab, "ended well", &[], &[]);
    docker.cli(&["start", &id]);
    until(lab, "running again", &["fails:8080"], &["fails:8080"]);
    docker.cli(&["kill", "--signal", "USR1", &id]);
    until(lab, "failed", &["fails:8080"], &[]);
    docker.cli(&["rm", &id]);
    until(lab, "removed", &[], &[]);
    // A container that exits with success is deregistered as usual.
    let calm = run("calm", &[]);
    until(lab, "calm", &["calm:8080"], &["calm:8080"]);
    calm.stop();
    calm.remove();
    until(lab, "nothing", &[], &[]);
}

/// A crash loop with `--restart always`: out of traffic until the container is stable.
fn crash_loop(lab: &Lab, run: &dyn Fn(&str, &[&str]) -> Container) {
    let loops = run("loops", &["--restart", "always"]);
    let docker = lab.docker(1);
    until(lab, "the first start", &["loops:8080"], &["loops:8080"]);
    // Each restart counts as a start.
    for _ in 0..3 {
        docker.cli(&["restart", "--time", "5", loops.id()]);
    }
    wait_until("a crash loop", LONG, || match check(lab, "_service_maintenance:host-1:loops:8080") {
        Ok((status, _)) if status == "critical" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    until(lab, "stable", &["loops:8080"], &["loops:8080"]);
    loops.remove();
    until(lab, "nothing", &[], &[]);
}

/// Killed by the kernel: `die` without a `kill` event.
fn out_of_memory(lab: &Lab) {
    let script = "while [ ! -e /eat ]; do sleep 0.1; done; exec tail /dev/zero";
    let id = shell(lab, "eats", &["--memory", "16m", "--memory-swap", "16m"], script);
    until(lab, "the start", &["eats:8080"], &["eats:8080"]);
    let docker = lab.docker(1);
    docker.cli(&["exec", &id, "/bin/sh", "-c", "echo > /eat"]);
    until(lab, "the end", &[], &[]);
    assert_eq!(docker.cli(&["inspect", "--format", "{{.State.ExitCode}}", &id]), "137");
    docker.cli(&["rm", &id]);
}

/// Starts a container that publishes the app's port and runs a script. Returns its id.
fn shell(lab: &Lab, name: &str, options: &[&str], script: &str) -> String {
    let run = ["run", "--detach", "--publish-all", "--name", name, "--entrypoint", "/bin/sh"];
    let command = ["portreeve-app:v1", "-c", script];
    lab.docker(1).cli(&[&run, WEB, SHELL, options, &command].concat())
}
