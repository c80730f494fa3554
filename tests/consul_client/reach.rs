//! Connections to an agent: token files, unix sockets, TLS.

use std::{fs, path::Path};

use portreeve::{
    consul::{Client, ConsulLedger, Error, Settings},
    registry::{Ledger, LedgerError},
};
use reqwest::Method;
use serde_json::json;

use crate::{
    client,
    dev_agent::{DevAgent, Setup, TlsFiles, certificates},
    ledger::instance,
    settings,
    watched::{Watched, key, service},
};

const ROOT: &str = "5f0bb3c5-8b0a-4c1f-9d2e-0d6c1c1f7a11";

/// An agent that denies everything without a token.
async fn acl_agent() -> DevAgent {
    let tokens = format!(r#"tokens {{ master = "{ROOT}" agent = "{ROOT}" }}"#);
    let extra = format!(r#"acl {{ enabled = true default_policy = "deny" {tokens} }}"#);
    DevAgent::start_with(Setup { extra, token: Some(ROOT), ..Setup::default() }).await
}

/// Creates a token with these rules.
async fn token(agent: &DevAgent, name: &str, rules: &str) -> String {
    let policy = json!({"Name": name, "Rules": rules}).to_string();
    agent.put("/v1/acl/policy", policy).await;
    let token = agent.put("/v1/acl/token", json!({"Policies": [{"Name": name}]}).to_string()).await;
    let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
    token["SecretID"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_changed_token_file_is_used_without_a_restart() {
    let agent = acl_agent().await;
    let rules = r#"service_prefix "" { policy = "write" } node_prefix "" { policy = "read" }
        agent_prefix "" { policy = "read" } key_prefix "app/" { policy = "read" }"#;
    let good = token(&agent, "portreeve", rules).await;
    agent.put("/v1/kv/app/one", "1").await;
    agent.put("/v1/kv/secret", "no").await;

    let path = agent.dir().join("token");
    let settings = Settings { token_file: Some(path.clone()), ..settings(&agent.address()) };
    let client = Client::new(&settings).expect("a client; the file need not exist yet");
    let ledger = ConsulLedger::new(client.clone());
    let mut watched = Watched::new(client.clone());
    let (web, one) = (service("web"), key("app/one"));
    let _running = [watched.watch(&web), watched.watch(&one)];

    let error = ledger.put(&instance("web-1", 1), None).await.expect_err("there is no file");
    assert!(portreeve::core::condition::error_chain(&error).contains("consul.token_file"), "{error:?}");
    fs::write(&path, "00000000-0000-0000-0000-00000000beef").expect("written");
    let error = ledger.put(&instance("web-1", 1), None).await.expect_err("an unknown token");
    let message = portreeve::core::condition::error_chain(&error);
    assert!(matches!(error, LedgerError::Denied { .. }), "a new token helps: {message}");
    assert!(message.contains("403") && message.contains("the ACL token"), "{message}");

    fs::write(&path, format!("{good}\n")).expect("written");
    ledger.put(&instance("web-1", 1), None).await.expect("registered");
    watched.until_ids(&web, &["web-1"]).await;
    watched.until_key(&one, Some("1")).await;
    assert_eq!(ledger.advertised_address().await.expect("an address"), "127.0.0.1");
    let error = client.kv_get("secret", &Default::default()).await.expect_err("not allowed");
    assert!(matches!(error, Error::Denied { status: 403, .. }), "{error}");
}

#[tokio::test]
async fn a_changed_policy_is_noticed_without_a_new_index() {
    let agent = acl_agent().await;
    agent.put("/v1/agent/service/register", r#"{"ID": "web-1", "Name": "web", "Port": 1}"#).await;
    let token = token(&agent, "narrow", r#"node_prefix "" { policy = "read" }"#).await;
    let wait = std::time::Duration::from_secs(1);
    let settings = Settings { token: Some(token.into()), wait, ..settings(&agent.address()) };
    let mut watched = Watched::new(Client::new(&settings).expect("a client"));
    let web = service("web");
    let _running = watched.watch(&web);
    watched.until_ids(&web, &[]).await;
    let policies = agent.get("/v1/acl/policies").await;
    let narrow = policies.as_array().expect("policies").iter().find(|policy| policy["Name"] == "narrow");
    let id = narrow.expect("the policy")["ID"].as_str().expect("an id");
    let rules = r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#;
    let wide = json!({"ID": id, "Name": "narrow", "Rules": rules}).to_string();
    agent.call(Method::PUT, &format!("/v1/acl/policy/{id}"), wide).await;
    watched.until_ids(&web, &["web-1"]).await;
}

#[tokio::test]
async fn a_unix_socket_works_like_a_port() {
    let extra = r#"addresses { http = "unix://{dir}/consul.sock 127.0.0.1" }"#;
    let agent = DevAgent::start_with(Setup { extra: extra.into(), ..Setup::default() }).await;
    for scheme in ["unix", "consul-unix"] {
        let client = client(&format!("{scheme}://{}/consul.sock", agent.dir().display()));
        assert!(client.leader().await.expect("an answer").is_some());
        let mut watched = Watched::new(client);
        let one = key("one");
        let _running = watched.watch(&one);
        watched.until_key(&one, None).await;
        agent.put("/v1/kv/one", scheme).await;
        watched.until_key(&one, Some(scheme)).await;
        agent.call(Method::DELETE, "/v1/kv/one", "").await;
    }
}

/// An agent that requires client certificates of its authority.
async fn tls_agent(files: &TlsFiles) -> DevAgent {
    let read = |path: &Path| fs::read(path).expect("a certificate");
    let setup = Setup {
        extra:
            r#"ca_file = "{dir}/ca.pem" cert_file = "{dir}/cert.pem" key_file = "{dir}/key.pem" verify_incoming = true"#
                .into(),
        files: vec![
            ("ca.pem", read(&files.authority)),
            ("cert.pem", read(&files.server.0)),
            ("key.pem", read(&files.server.1)),
        ],
        tls: true,
        ..Setup::default()
    };
    DevAgent::start_with(setup).await
}

#[tokio::test]
async fn tls_with_an_authority_and_a_client_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = certificates(dir.path());
    let agent = tls_agent(&files).await;
    let (cert, key_file) = files.client.clone();
    let address = format!("https://localhost:{}", agent.https_port());
    let full = Settings {
        ca_cert: Some(files.authority.clone()),
        client_cert: Some(cert),
        client_key: Some(key_file),
        ..settings(&address)
    };
    let leader = async |settings: &Settings| Client::new(settings).expect("a client").leader().await;
    assert!(leader(&full).await.expect("an answer").is_some());

    let by_number = format!("127.0.0.1:{}", agent.https_port());
    let ssl = Settings { ssl: true, ..Settings { address: by_number.parse().expect("an address"), ..full.clone() } };
    leader(&ssl).await.expect("the certificate contains the address");
    let named = |name: &str| Settings { tls_server_name: Some(name.into()), ..ssl.clone() };
    leader(&named("server.dc1.consul")).await.expect("the certificate has this name");
    let error = leader(&named("server.dc2.consul")).await.expect_err("the certificate has another name");
    assert!(portreeve::core::condition::error_chain(&error).contains("certificate"), "{error:?}");

    let authorities = dir.path().join("authorities");
    fs::create_dir(&authorities).expect("a directory");
    let by_dir = Settings { ca_cert: None, ca_path: Some(authorities.clone()), ..full.clone() };
    let error = Client::new(&by_dir).expect_err("an empty directory").to_string();
    assert!(error.starts_with("consul.ca_path: "), "{error}");
    fs::copy(&files.authority, authorities.join("ours.pem")).expect("copied");
    leader(&by_dir).await.expect("the directory holds the authority");

    // Another authority, created in the same way, is not accepted.
    let other = tempfile::tempdir().expect("a directory");
    let untrusted = Settings { ca_cert: Some(certificates(other.path()).authority), ..full.clone() };
    let error = leader(&untrusted).await.expect_err("signed by another authority");
    assert!(portreeve::core::condition::error_chain(&error).contains("certificate"), "{error:?}");
    leader(&Settings { ssl_verify: false, ..untrusted }).await.expect("the certificate is not verified");
    let without_certificate = Settings { client_cert: None, client_key: None, ..full.clone() };
    leader(&without_certificate).await.expect_err("the agent requires a client certificate");

    let mut watched = Watched::new(Client::new(&full).expect("a client"));
    let keys: Vec<_> = (0..20).map(|number| key(&format!("k{number}"))).collect();
    let _running: Vec<_> = keys.iter().map(|query| watched.watch(query)).collect();
    for query in &keys {
        watched.until_key(query, None).await;
    }
    agent.put("/v1/kv/k7", "seven").await;
    watched.until_key(&keys[7], Some("seven")).await;
    assert!(crate::permits::connections_to(agent.https_port()) <= 2, "one connection carries all queries");
}

#[test]
fn unusable_files_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("missing.pem");
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").expect("written");
    let tls = settings("https://127.0.0.1:8501");
    for (settings, begin) in [
        (Settings { ca_cert: Some(missing.clone()), ..tls.clone() }, "consul.ca_cert: cannot use "),
        (Settings { ca_cert: Some(empty.clone()), ..tls.clone() }, "consul.ca_cert: cannot use "),
        (Settings { ca_path: Some(missing.clone()), ..tls.clone() }, "consul.ca_path: cannot use "),
        (
            Settings { client_cert: Some(empty.clone()), client_key: Some(missing.clone()), ..tls.clone() },
            "consul.client_key: cannot use ",
        ),
        (
            Settings { client_cert: Some(empty.clone()), client_key: Some(empty), ..tls.clone() },
            "consul.client_cert: cannot use ",
        ),
    ] {
        let error = Client::new(&settings).expect_err(begin).to_string();
        assert!(error.starts_with(begin), "{error}");
    }
    let plain = Settings { ca_cert: Some(missing), ..settings("http://127.0.0.1:8500") };
    Client::new(&plain).expect("plain HTTP needs no certificates");
}
