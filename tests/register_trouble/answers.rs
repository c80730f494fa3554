//! A login page, a maintenance page or another program's JSON is an error: never a value, and never a successful write.

use std::{net::TcpListener, process::Command};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use portreeve_lab::portreeve::program;

use crate::common::{
    black_box::{portreeve, run},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

/// The answer of a server that is not Consul to every request.
#[derive(Clone, Copy, Debug)]
enum Page {
    Login,
    Redirection,
    Object,
    List,
    Text,
    Nothing,
}

const PAGES: [Page; 6] = [Page::Login, Page::Redirection, Page::Object, Page::List, Page::Text, Page::Nothing];

async fn answer(State(page): State<Page>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match page {
        Page::Login => Html("<html><form action=/login></form></html>").into_response(),
        Page::Redirection => Redirect::to("/login").into_response(),
        Page::Object => (json, "{\"status\": \"ok\"}").into_response(),
        Page::List => (json, "[]").into_response(),
        Page::Text => "please log in".into_response(),
        Page::Nothing => StatusCode::OK.into_response(),
    }
}

/// A server that is not Consul. Dropping it stops the server.
struct Stranger {
    address: String,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Stranger {
    fn start(page: Page) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let app = Router::new().fallback(answer).with_state(page);
        runtime.spawn(
            async move { axum::serve(tokio::net::TcpListener::from_std(listener).expect("a socket"), app).await },
        );
        Self { address, runtime: Some(runtime) }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.runtime.take().expect("it is dropped once").shutdown_background();
    }
}

#[test]
fn an_html_page_is_neither_a_value_nor_a_list_of_services() {
    let template = "{{key \"app/password\"}}{{#if (keyExists \"app/flag\")}}yes{{/if}}";
    let list = "{{#each (services)}}{{name}}{{/each}}";
    for page in PAGES {
        let stranger = Stranger::start(page);
        for text in [
            template,
            list,
            "{{#each (service \"web\")}}{{address}}{{/each}}",
            "{{#each (ls \"app\")}}{{key}}{{/each}}",
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            let (source, made) = (dir.path().join("a.hbs"), dir.path().join("made"));
            std::fs::write(&source, text).expect("a template");
            let mut command = Command::new(program());
            command.env_clear().env("PORTREEVE_CONFIG", "/dev/null").env("CONSUL_HTTP_ADDR", &stranger.address).args([
                "render",
                "--once",
                "--deadline",
                "1s",
            ]);
            command.arg("--state-dir").arg(dir.path().join("state"));
            command.arg("--template").arg(format!("{}:{}", source.display(), made.display()));
            let output = command.output().expect("the program starts");
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{page:?} {text}: {log}");
            assert!(!made.exists(), "{page:?} {text}: {log}");
            assert!(log.contains("not from Consul") || log.contains("cannot be parsed"), "{page:?} {text}: {log}");
        }
    }
}

#[test]
fn nothing_is_registered_if_another_program_answers() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1000));
    for page in PAGES {
        let stranger = Stranger::start(page);
        let mut command = portreeve(&docker, &consul, &["--once", "--deadline", "2s"]);
        let output = command.env("CONSUL_HTTP_ADDR", &stranger.address).output().expect("the program starts");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{page:?}: {log}");
        assert!(log.contains("not from Consul") || log.contains("cannot be parsed"), "{page:?}: {log}");
        assert!(!log.contains("registered +"), "{page:?}: {log}");
    }
}

#[test]
fn an_html_page_in_answer_to_a_write_is_a_failure() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1000));
    consul.answer_writes_with_a_page();
    let output = run(&docker, &consul, &["--once", "--deadline", "2s"]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains("the response is not from Consul: an HTML page (200 OK)") && !log.contains("registered +"),
        "{log}"
    );
}
