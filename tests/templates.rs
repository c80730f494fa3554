//! The shipped templates with a real nginx.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use portreeve::{
    fixture::{Fixture, FixtureInstance},
    registry::Status,
    render::{Answers, CompiledTemplate, Escape, RenderInputs, RenderOutcome},
};

/// The catalog of a fixture.
struct Catalog(Fixture);

impl Default for Catalog {
    /// Contains Consul itself, as in a real catalog.
    fn default() -> Self {
        Self(Fixture::default()).with("consul", "127.0.0.1", 8300, Passing, &[])
    }
}

impl Catalog {
    fn with(mut self, name: &str, address: &str, port: u16, status: Status, meta: &[(&str, &str)]) -> Self {
        let number = self.0.catalog.services.len();
        self.0.catalog.services.push(FixtureInstance {
            node: Some("host-1".to_owned()),
            id: Some(format!("{name}-{number}")),
            meta: meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            status: Some(status),
            ..FixtureInstance::new(name, address, port)
        });
        self
    }

    fn key(mut self, path: &str, value: &str) -> Self {
        self.0.catalog.kv.insert(path.to_owned(), value.to_owned());
        self
    }

    /// Renders a shipped template.
    fn render(&self, file: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(file);
        let source = fs::read_to_string(path).expect("it ships");
        let template = CompiledTemplate::compile(file, source, Escape::Nginx).unwrap_or_else(|error| panic!("{error}"));
        let (mut answers, env) = (Answers::new(), BTreeMap::new());
        loop {
            let pass = template.render(RenderInputs { answers: &answers, env: &env, item: &serde_json::Value::Null });
            let open: Vec<_> = pass.queries.into_iter().filter(|query| !answers.contains_key(query)).collect();
            match pass.outcome {
                RenderOutcome::Text(text) => return text,
                RenderOutcome::Missing(missing) if open.is_empty() => panic!("it waits for {missing:?}"),
                RenderOutcome::Missing(_) => {}
                RenderOutcome::Failed(error) => panic!("{error}"),
            }
            answers.extend(open.into_iter().map(|query| {
                let answer = self.0.answer(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
                (query, Arc::new(answer))
            }));
        }
    }
}

/// Asserts that nginx accepts `text` inside an http block.
fn nginx_accepts(text: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let main = format!(
        "pid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\ninclude {folder}/candidate;\n}}\n",
        folder = folder.path().display()
    );
    fs::write(folder.path().join("nginx.conf"), main).expect("it can be written");
    fs::write(folder.path().join("candidate"), text).expect("it can be written");
    let mut check = Command::new("nginx");
    check.arg("-t").arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
    let checked = check.output().expect("nginx is installed");
    let stderr = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !stderr.contains("[warn]"), "{stderr}\n{text}");
}

use Status::{Critical, Maintenance, Passing};

fn catalogs() -> Vec<(&'static str, Catalog)> {
    let none = Catalog::default;
    let many = (0..300).fold(none(), |catalog, number| {
        let name = format!("service-{}", number % 60);
        catalog.with(&name, "10.0.0.1", 20000 + number, Passing, &[("host", &format!("{name}.example.com"))])
    });
    vec![
        ("nothing", none()),
        ("one", none().with("web", "10.0.0.1", 32768, Passing, &[])),
        (
            "one of two is healthy",
            none().with("web", "10.0.0.1", 1, Critical, &[]).with("web", "10.0.0.2", 2, Passing, &[]),
        ),
        (
            "none is healthy",
            none().with("web", "10.0.0.1", 1, Critical, &[]).with("web", "10.0.0.2", 2, Maintenance, &[]),
        ),
        ("none has a port", none().with("web", "10.0.0.1", 0, Passing, &[])),
        ("another default", none().with("shop", "10.0.0.1", 80, Passing, &[]).key("portreeve/default-service", "shop")),
        ("odd names", {
            let names = ["web.v2", "Web-UPPER", "under_score", "10.0.0.7", "größe", "a:80", "a/b", "-", "default"];
            names.iter().fold(none(), |catalog, name| catalog.with(name, "10.0.0.1", 80, Passing, &[]))
        }),
        ("what nginx would refuse or obey", {
            let names = ["a/b", "a:80", "größe", "a b", "x;y", "{", "$host", "~^a", "", ".", "a..b"];
            let all =
                names.iter().fold(none(), |all, name| all.with(name, "10.0.0.1", 80, Passing, &[("host", "a.b")]));
            let hosts = ["a b", "~^(", "x; return 200", "a/b", "a:80", "*", "a.*.b", "..", "größe", "\"", "$x"];
            let all = hosts.iter().zip(0..).fold(all, |all, (host, number)| {
                all.with(&format!("host-{number}"), "10.0.0.1", 80, Passing, &[("host", host)])
            });
            let addresses = ["a b", "a;b", "a/b", "x:y:z", "::1::", "[::1]", "$a"];
            addresses.iter().fold(all, |all, address| all.with("web", address, 80, Passing, &[]))
        }),
        ("IPv6", none().with("web", "fd00::1", 80, Passing, &[]).with("web", "::1", 81, Passing, &[])),
        ("hosts", {
            let host = [("host", "shop.example.com")];
            none().with("shop", "10.0.0.1", 80, Passing, &host).with("shop", "10.0.0.2", 80, Critical, &host)
        }),
        (
            "a host whose instances are all ill",
            none().with("shop", "10.0.0.1", 80, Critical, &[("host", "*.example.com")]),
        ),
        ("many", many),
        ("many instances", (0..1000).fold(none(), |all, n| all.with("web", "10.0.0.1", 20000 + n, Passing, &[]))),
    ]
}

/// The small template supports only services whose instances have addresses and ports.
fn fits_the_small_template(what: &str) -> bool {
    !["none has a port", "what nginx would refuse or obey"].contains(&what)
}

#[test]
fn nginx_accepts_the_shipped_template_with_any_catalog() {
    for (what, catalog) in catalogs() {
        for file in ["nginx/upstreams.conf.hbs", "nginx/upstream.conf.hbs"] {
            if file != "nginx/upstream.conf.hbs" || fits_the_small_template(what) {
                println!("{file}: {what}");
                nginx_accepts(&catalog.render(file));
            }
        }
    }
}
#[test]
fn shipped_template_for_nginx_is_short() {
    let host = [("host", "shop.example.com")];
    let catalog =
        Catalog::default().with("web", "10.0.0.1", 32768, Passing, &[]).with("web", "fd00::2", 80, Passing, &[]);
    let expected = "upstream web {
    server 10.0.0.1:32768 weight=1;
    server [fd00::2]:80 weight=1;
}

server {
    listen 80;
    location / { proxy_pass http://web; }
}
";
    assert_eq!(catalog.render("nginx/upstream.conf.hbs"), expected);
    let catalog = Catalog::default().with("shop", "10.0.0.1", 80, Critical, &host);
    let expected = "server {
    listen 80 default_server;
    location / {
        return 503;
    }
}

server {
    listen 80;
    server_name shop.example.com;
    location / {
        return 503;
    }
}

";
    assert_eq!(catalog.render("nginx/upstreams.conf.hbs"), expected);
}

/// Answers each request with `name`, on a port of its own.
fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        }
    });
    port
}

/// An nginx that listens on a socket in a temporary folder; it is stopped when this is dropped.
struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
}

impl Nginx {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path().display();
        let main = format!(
            "pid {at}/nginx.pid;\nerror_log stderr;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{\naccess_log off;\n{}\n}}\n",
            text.replace("listen 80", &format!("listen unix:{at}/socket"))
        );
        fs::write(folder.path().join("nginx.conf"), main).expect("it can be written");
        let mut start = Command::new("nginx");
        start.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        Self { child: start.spawn().expect("nginx is installed"), folder }
    }

    /// The status and the last line of the response to `GET /` with this host.
    fn get(&self, host: &str) -> (String, String) {
        let begin = Instant::now();
        let mut stream = loop {
            match UnixStream::connect(self.folder.path().join("socket")) {
                Ok(stream) => break stream,
                Err(error) => assert!(begin.elapsed() < Duration::from_secs(30), "nginx does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("nginx reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("nginx answers");
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        (status, answer.lines().last().unwrap_or_default().to_owned())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn requests_go_where_the_host_name_says_and_an_empty_service_answers_503() {
    let catalog = Catalog::default()
        .with("web", "127.0.0.1", backend("web"), Passing, &[])
        .with("shop", "127.0.0.1", backend("shop"), Passing, &[("host", "shop.example.com")])
        .with("ill", "127.0.0.1", 9, Critical, &[("host", "ill.example.com")]);
    let nginx = Nginx::start(&catalog.render("nginx/upstreams.conf.hbs"));
    let ok = |body: &str| ("200".to_owned(), body.to_owned());
    assert_eq!(nginx.get("192.168.50.103"), ok("web"));
    assert_eq!(nginx.get("shop.example.com"), ok("shop"));
    assert_eq!(nginx.get("ill.example.com").0, "503");
    drop(nginx);
    let catalog = catalog
        .with("a/b", "127.0.0.1", 9, Passing, &[("host", "x.example.com")])
        .with("bad-host", "127.0.0.1", 9, Passing, &[("host", "*; return 200 owned")])
        .with("shop", "nowhere; }", 80, Passing, &[("host", "shop.example.com")]);
    let nginx = Nginx::start(&catalog.render("nginx/upstreams.conf.hbs"));
    assert_eq!(nginx.get("shop.example.com"), ok("shop"), "the others are served as before");
    assert_eq!(nginx.get("x.example.com"), ok("web"));
    drop(nginx);
    let nginx = Nginx::start(&Catalog::default().render("nginx/upstreams.conf.hbs"));
    assert_eq!(nginx.get("192.168.50.103").0, "503");
}
