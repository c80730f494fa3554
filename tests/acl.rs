//! The minimal ACL rules of `register` and `render`, with a real agent that denies everything by default.

mod common;
#[path = "common/dev_agent.rs"]
mod dev_agent;

use std::{fs, path::Path, process::Command};

use common::{
    black_box::{Daemon, PATIENCE},
    fake_docker::{FakeDocker, container},
};
use dev_agent::{DevAgent, Setup};
use serde_json::{Value, json};

const ROOT: &str = "5f0bb3c5-8b0a-4c1f-9d2e-0d6c1c1f7a11";
const WEB: &str = "dockerhost:web:80";

/// The rules for `register`, for a service named `web` on the agent of any node.
const REGISTER: [&str; 2] = [r#"agent_prefix "" { policy = "read" }"#, r#"service "web" { policy = "write" }"#];

/// The rules for `render`, for a template with the service `web` and the key `app/title`.
const RENDER: [&str; 3] = [
    r#"node_prefix "" { policy = "read" }"#,
    r#"service "web" { policy = "read" }"#,
    r#"key "app/title" { policy = "read" }"#,
];

/// An agent that denies everything without a token.
async fn acl_agent() -> DevAgent {
    let tokens = format!(r#"tokens {{ master = "{ROOT}" agent = "{ROOT}" }}"#);
    let extra = format!(r#"acl {{ enabled = true default_policy = "deny" {tokens} }}"#);
    DevAgent::start_with(Setup { extra, token: Some(ROOT), ..Setup::default() }).await
}

/// Creates a token with these rules.
async fn token(agent: &DevAgent, name: &str, rules: &[&str]) -> String {
    agent.put("/v1/acl/policy", json!({"Name": name, "Rules": rules.join("\n")}).to_string()).await;
    let token = agent.put("/v1/acl/token", json!({"Policies": [{"Name": name}]}).to_string()).await;
    let token: Value = serde_json::from_str(&token).expect("JSON");
    token["SecretID"].as_str().expect("a token").to_owned()
}

fn program(agent: &DevAgent, token: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("CONSUL_HTTP_ADDR", agent.address())
        .env("CONSUL_HTTP_TOKEN_FILE", token);
    command.args(arguments);
    command
}

async fn until<F: Future<Output = bool>>(what: &str, daemon: &Daemon, condition: impl Fn() -> F) {
    let start = std::time::Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited for {what}:\n{}", daemon.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn register_with_the_least_rules() {
    let agent = acl_agent().await;
    let docker = FakeDocker::start();
    let mut web = container("web", 8000);
    web["State"]["Health"] = json!({"Status": "healthy", "Log": []});
    docker.set(web);
    let file = agent.dir().join("token");
    let set = |token: &str| fs::write(&file, token).expect("written");
    let spawn = |arguments: &[&str]| {
        let mut command = program(&agent, &file, &[&["register"], arguments].concat());
        Daemon::spawn({
            command.env("DOCKER_HOST", docker.host());
            command
        })
    };
    let services = || async { agent.get("/v1/agent/services").await };
    let holds = || async { services().await.get(WEB).is_some() };

    // Without permissions it logs what to change, and continues as soon as the file contains another token.
    set(&token(&agent, "none", &[]).await);
    let daemon = spawn(&["--on-exit", "deregister"]);
    daemon.until_logged("403");
    assert!(daemon.log().contains("change the ACL token or its policies"), "{}", daemon.log());
    // Without any one of the rules, nothing is registered.
    for (number, without) in REGISTER.iter().enumerate() {
        let rest: Vec<_> = REGISTER.into_iter().filter(|rule| rule != without).collect();
        let denied = daemon.log().matches("403").count();
        set(&token(&agent, &format!("without-{number}"), &rest).await);
        let output = program(&agent, &file, &["register", "--once", "--deadline", "1s"])
            .env("DOCKER_HOST", docker.host())
            .output()
            .expect("it starts");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains("403"), "without {without}: {log}");
        assert!(!holds().await, "without {without} ({denied})");
    }
    set(&token(&agent, "register", &REGISTER).await);
    until("the registration", &daemon, holds).await;
    daemon.until_logged("up to date");

    // The other kinds of writes: maintenance mode on and off, a check report, a removal.
    let checks = || async { agent.get("/v1/agent/checks").await };
    let in_maintenance = || async { checks().await.get(format!("_service_maintenance:{WEB}")).is_some() };
    docker.set(paused(true));
    docker.event("pause", &common::black_box::id("web"), &[]);
    until("maintenance", &daemon, in_maintenance).await;
    docker.set(paused(false));
    docker.event("unpause", &common::black_box::id("web"), &[]);
    until("traffic", &daemon, || async { !in_maintenance().await }).await;
    let passing = || async { checks().await[format!("service:{WEB}:docker")]["Status"] == "passing" };
    until("a report", &daemon, passing).await;
    assert_eq!(daemon.stop(), Some(0));
    assert!(!holds().await, "removed at the clean stop");

    // A service for which the token has no rule is refused, without an effect on the others.
    let mut other = container("other", 8001);
    other["Config"]["Env"] = json!(["SERVICE_NAME=other"]);
    docker.set(other);
    let daemon = spawn(&[]);
    until("the registration", &daemon, holds).await;
    daemon.until_logged("cannot register dockerhost:other:80");
    assert!(daemon.log().contains("403"), "{}", daemon.log());
    assert!(services().await.get("dockerhost:other:80").is_none());
}

fn paused(paused: bool) -> Value {
    let mut web = container("web", 8000);
    web["State"]["Health"] = json!({"Status": "healthy", "Log": []});
    web["State"]["Paused"] = json!(paused);
    web
}

#[tokio::test]
async fn render_with_the_least_rules() {
    let agent = acl_agent().await;
    agent.put("/v1/kv/app/title", "hello").await;
    agent
        .put("/v1/agent/service/register", r#"{"ID": "web-1", "Name": "web", "Port": 7, "Address": "10.1.1.1"}"#)
        .await;
    let file = agent.dir().join("token");
    let set = |token: &str| fs::write(&file, token).expect("written");
    let (template, out) = (agent.dir().join("t.hbs"), agent.dir().join("out"));
    fs::write(&template, "{{key \"app/title\"}}{{#each (service \"web\")}} {{address}}:{{port}}{{/each}}\n")
        .expect("written");
    let argument = format!("{}:{}", template.display(), out.display());
    let state = agent.dir().join("state");
    let spawn = || {
        let arguments = ["render", "--template", &argument, "--state-dir", state.to_str().expect("text")];
        let mut command = program(&agent, &file, &arguments);
        // A change of the token does not change the index of a query, so it takes effect at the end of the wait.
        command.env("PORTREEVE_CONSUL_WAIT", "1s");
        Daemon::spawn(command)
    };
    let rendered = || async { fs::read_to_string(&out).is_ok_and(|text| text == "hello 10.1.1.1:7\n") };

    set(&token(&agent, "none", &[]).await);
    let daemon = spawn();
    daemon.until_logged("403");
    assert!(daemon.log().contains("change the ACL token or its policies"), "{}", daemon.log());
    // With a part of the rules, nothing is written either.
    set(&token(&agent, "half", &RENDER[..2]).await);
    daemon.until_logged("403");
    assert!(!out.exists());
    set(&token(&agent, "render", &RENDER).await);
    until("the file", &daemon, rendered).await;
    assert_eq!(daemon.stop(), Some(0));
}

/// The blocks of rules in docs/security.md, in their order: those for `register`, and those for `render`.
fn documented_rules() -> Vec<String> {
    let page = include_str!("../docs/security.md");
    let blocks = page.split("```hcl\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("a block ends").to_owned()).collect()
}

#[tokio::test]
async fn the_rules_of_the_security_page_are_enough() {
    let agent = acl_agent().await;
    let docker = FakeDocker::start();
    docker.set(container("web", 8000));
    agent.put("/v1/kv/app/title", "hello").await;
    let (file, template) = (agent.dir().join("token"), agent.dir().join("t.hbs"));
    let text = "{{key \"app/title\"}} {{#each (service \"web\")}}{{id}}{{/each}} {{#each (services)}}{{name}} {{/each}}\
                {{len (nodes)}} {{len (datacenters)}} {{len (tree \"app\")}}\n";
    fs::write(&template, text).expect("written");
    let [register, render] = &documented_rules()[..] else { panic!("one block for each mode") };

    fs::write(&file, token(&agent, "register", &[register]).await).expect("written");
    let mut command = program(&agent, &file, &["register", "--once"]);
    let output = command.env("DOCKER_HOST", docker.host()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let rendered = |text: &str| {
        fs::write(&template, text).expect("written");
        let (out, state) = (agent.dir().join("out"), agent.dir().join("state"));
        let argument = format!("{}:{}", template.display(), out.display());
        let arguments = ["render", "--once", "--template", &argument, "--state-dir", state.to_str().expect("text")];
        let output = program(&agent, &file, &arguments).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(out).expect("written")
    };
    fs::write(&file, token(&agent, "render", &[render]).await).expect("written");
    assert_eq!(rendered(text), format!("hello {WEB} consul web 1 1 1\n"));

    // As the page warns, data that a token may not read seem not to exist.
    let text = "{{len (service \"web\")}} {{len (nodes)}}\n";
    fs::write(&file, token(&agent, "services", &[r#"service_prefix "" { policy = "read" }"#]).await).expect("written");
    assert_eq!(rendered(text), "0 0\n");
}
