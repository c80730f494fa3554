//! Input by users and platforms: spellings of flags, addresses with passwords, variables of other programs.

use serde_json::{Value, json};

use super::common::{
    black_box::portreeve,
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

fn fakes() -> (FakeDocker, FakeConsul) {
    (FakeDocker::start(), FakeConsul::start("10.0.0.7"))
}

fn with_env(name: &str, port: u16, env: &[&str]) -> Value {
    let mut web = container(name, port);
    web["Config"]["Env"] = json!(env);
    web
}

/// The exit code, stdout and stderr.
fn outcome(command: &mut std::process::Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_long_option_works_with_one_dash() {
    let (docker, consul) = fakes();
    docker.set(container("web", 8000));
    for line in [
        &["-dry-run", "-hostname", "n1", "-ip=10.9.9.9"][..],
        &["-dry-run=true", "--hostname=n1", "-ip", "10.9.9.9", "-internal=f", "-docker-health=T"],
        &["-hostname", "n1", "-ip", "10.9.9.9", "-resync", "30", "-dry-run", "-once=false"],
    ] {
        let (code, out, error) = outcome(&mut portreeve(&docker, &consul, line));
        assert_eq!(
            (code, out.as_str()),
            (Some(0), "register n1:web:80 as web at 10.9.9.9:8000\n"),
            "{line:?}: {error}"
        );
    }
}

#[test]
fn invalid_arguments_give_exit_code_2_with_a_correction() {
    let (docker, consul) = fakes();
    for (line, hint) in [
        (&["-healthcheck-port=8080"][..], "--healthcheck-port"),
        (&["-hostnam", "n1"], "--hostname"),
        (&["-ressync", "5"], "--resync"),
        (&["-resync", "0"], "leave it out for 30s"),
        (&["--resync", "0s"], "leave it out for 30s"),
        (&["-ttl", "0"], "leave it out"),
        (&["-ttl", "30", "-ttl-refresh", "0"], "leave it out"),
        (&["--network", "front"], "--internal"),
        (&["-ip", "999.1.1.1"], "is not an IP address"),
        (&["-ip", "eth0"], "is not an IP address"),
        (&["-ip", "10.0.0.5:8080"], "is not an IP address"),
        (&["-ip", "app.localhost"], "is not an IP address"),
        (&["-ip", "ip6-localhost"], "is not an IP address"),
        (&["-ip", "fe80::1%eth0"], "is not an IP address"),
        (&["-tags", "a,{{name"], "--tags is not a Handlebars template: line 1, column "),
        (&["--internal=maybe"], "true or false"),
        (&["--docker", "ssh://x"], "ssh -nNT -L"),
    ] {
        let (code, out, error) = outcome(&mut portreeve(&docker, &consul, line));
        assert!(code == Some(2) && error.contains(hint) && out.is_empty(), "{line:?}: {code:?} {error} {out}");
    }
}

#[test]
fn every_mode_prints_the_same_version_and_lists_only_options_that_it_uses() {
    let (docker, consul) = fakes();
    let printed = |line: &[&str]| {
        let program = portreeve(&docker, &consul, &[]).get_program().to_owned();
        let (code, out, error) = outcome(std::process::Command::new(program).args(line));
        assert_eq!(code, Some(0), "{line:?}: {error}");
        out
    };
    let version = format!("portreeve {}\n", env!("CARGO_PKG_VERSION"));
    for flag in ["-version", "--version", "-V"] {
        assert_eq!(printed(&[flag]), version);
        for mode in ["register", "render", "explain", "lint", "check", "record", "test"] {
            assert_eq!(printed(&[mode, flag]), version, "{mode} {flag}");
        }
        assert_eq!(printed(&["render", "rollback", flag]), version, "{flag}");
    }
    for (mode, asks) in [
        ("register", true),
        ("render", true),
        ("explain", true),
        ("record", true),
        ("lint", false),
        ("check", false),
        ("test", false),
    ] {
        assert_eq!(printed(&[mode, "--help"]).contains("--consul"), asks, "{mode}");
    }
}

#[test]
fn a_password_or_token_of_an_address_is_never_shown() {
    let (docker, consul) = fakes();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("text").to_owned();
    let lines: [&[&str]; 10] = [
        &["consul://bob:s3cret@h"],
        &["consul://bob:s3cret#x@h"],
        &["--consul", "http://bob:s3cret ?'x@h:8500"],
        &["--docker", "tcp://bob:s3cret#\" x@h:2375"],
        &["consul://bob:s3/s3cret@h:8500"],
        &["--consul", "bob:s3cret@h:8500"],
        &["http://h:8500/?token=s3cret"],
        &["etcd://bob:s3cret@h"],
        &["consul://h", "consul://bob:s3cret@h"],
        &["--docker", "tcp://bob:s3cret@h:2375"],
    ];
    for line in lines {
        let (code, out, error) = outcome(&mut portreeve(&docker, &consul, line));
        assert!(code == Some(2) && !(error + &out).contains("s3cret"), "{line:?}");
    }
    for text in [
        "[consul]\naddress = \"http://bob:s3cret@h\"\n",
        "[consul]\ntoken = \"s3cret\n",
        "[consul]\ntokn = \"s3cret\"\n",
    ] {
        std::fs::write(file.path(), text).expect("a file");
        let (code, _, error) = outcome(&mut portreeve(&docker, &consul, &["--config", &path]));
        assert!(code == Some(2) && !error.contains("s3cret") && error.contains("line "), "{text}: {error}");
    }
    let (code, _, error) = outcome(portreeve(&docker, &consul, &[]).env("CONSUL_HTTP_ADDR", "http://bob:s3cret@h"));
    assert!(code == Some(2) && !error.contains("s3cret") && error.contains("CONSUL_HTTP_AUTH"), "{error}");
}

#[test]
fn variables_of_a_platform_are_logged_once_and_misspelt_ones_are_errors() {
    let (docker, consul) = fakes();
    docker.set(container("web", 8000));
    let injected = [
        ("PORTREEVE_SERVICE_HOST", "10.0.0.1"),
        ("PORTREEVE_SERVICE_PORT", "8500"),
        ("PORTREEVE_PORT", "tcp://10.0.0.1:8500"),
        ("PORTREEVE_PORT_8500_TCP", "tcp://10.0.0.1:8500"),
        ("PORTREEVE_PORT_8500_TCP_PROTO", "tcp"),
        ("PORTREEVE_NAME", "/web/portreeve"),
        ("PORTREEVE_ENV_PATH", "/bin"),
        ("PORTREEVE_REGISTER_SERVICE_HOST", "10.0.0.1"),
        ("PORTREEVE_RENDER_PORT", "tcp://10.0.0.1:1"),
    ];
    let (code, _, error) = outcome(portreeve(&docker, &consul, &["--once"]).envs(injected));
    assert_eq!((code, error.matches("have no effect").count()), (Some(0), 1), "{error}");
    assert!(injected.iter().all(|(name, _)| error.contains(name)), "{error}");
    for (name, value, meant) in [
        ("PORTREEVE_REGISTER_RESINC", "5s", "PORTREEVE_REGISTER_RESYNC"),
        ("PORTREEVE_REGISTRE_IP", "10.0.0.1", "PORTREEVE_REGISTER_IP"),
        ("PORTREEVE_REGISTER_HOST_NAME", "box", "PORTREEVE_REGISTER_HOSTNAME"),
    ] {
        let (code, _, error) = outcome(portreeve(&docker, &consul, &["--once"]).env(name, value));
        assert!(code == Some(2) && error.contains(&format!("did you mean {meant}?")), "{name}: {error}");
    }
}

#[test]
fn values_of_env_files_are_read_without_quotes_and_spaces() {
    let (docker, consul) = fakes();
    docker.set(container("web", 8000));
    let env = [("PORTREEVE_REGISTER_IP", "\"10.9.9.9\"\r"), ("PORTREEVE_REGISTER_INTERNAL", "F\r")];
    let (code, _, error) = outcome(portreeve(&docker, &consul, &["--once"]).envs(env));
    assert_eq!((code, &consul.registrations()[0]["Address"]), (Some(0), &json!("10.9.9.9")), "{error}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[register]\nhostname = \" n1\\r\"\n").expect("a file");
    let flags = ["--dry-run", "--ip", "'10.9.9.8'\r", "--config", file.path().to_str().expect("text")];
    let (code, out, error) = outcome(&mut portreeve(&docker, &consul, &flags));
    assert!(code == Some(0) && out.contains("register n1:web:80 as web at 10.9.9.8:8000"), "{out}{error}");
}

#[test]
fn a_go_template_is_logged_once_with_its_handlebars_form() {
    let (docker, consul) = fakes();
    docker.set(container("a", 8000));
    docker.set(container("b", 8001));
    let (code, _, error) = outcome(&mut portreeve(&docker, &consul, &["--once", "-tags", "{{.Name}},{{.ID}}"]));
    assert_eq!((code, consul.ids().len()), (Some(0), 2), "{error}");
    assert_eq!((error.matches("--tags").count(), error.matches("{{name}},{{id}}").count()), (1, 1), "{error}");
}

#[test]
fn a_template_that_fails_for_a_container_is_logged_without_library_errors() {
    let (docker, consul) = fakes();
    docker.set(container("a", 8000));
    let (code, _, error) = outcome(&mut portreeve(&docker, &consul, &["--once", "-tags", "{{env.STAGE}}"]));
    assert_eq!((code, consul.ids().len()), (Some(0), 1), "{error}");
    assert!(error.contains("--tags is left out: the container has no env.STAGE"), "{error}");
    assert!(!error.contains("Unnamed") && !error.contains("Some("), "{error}");
}

#[test]
fn addresses_that_other_hosts_cannot_reach_are_logged() {
    for ip in ["127.0.0.1", "::1", "169.254.1.1", "fe80::1"] {
        let (docker, consul) = fakes();
        let mut web = container("web", 8000);
        web["Config"]["Env"] = json!([format!("SERVICE_ADDRESS={ip}")]);
        docker.set(web);
        let (code, _, error) = outcome(&mut portreeve(&docker, &consul, &["--once", "--ip", ip]));
        assert_eq!((code, &consul.registrations()[0]["Address"]), (Some(0), &json!(ip)), "{error}");
        assert!(error.contains(&format!("--ip {ip}: other hosts cannot reach")), "{error}");
        assert!(error.contains(&format!("SERVICE_ADDRESS is ignored: {ip:?}")), "{error}");
    }
}

#[test]
fn names_and_schemes_are_read_as_people_and_editors_write_them() {
    let (docker, consul) = fakes();
    docker.set(with_env("web", 8000, &["\u{feff}SERVICE_NAME=shop", " SERVICE_TAGS=a\r"]));
    let registry = consul.address().replace("http://", "CONSUL://");
    let (code, _, error) = outcome(portreeve(&docker, &consul, &["--once", &registry]).env_remove("CONSUL_HTTP_ADDR"));
    assert_eq!(code, Some(0), "{error}");
    let body = &consul.registrations()[0];
    assert_eq!((&body["Name"], &body["Tags"]), (&json!("shop"), &json!(["a"])));
}

#[test]
fn the_first_line_names_the_version_and_no_secret_is_logged() {
    let (docker, consul) = fakes();
    docker.set(with_env("web", 8000, &["SERVICE_NAME=web", "DB=hidden-value"]));
    for level in ["debug", "trace", "bollard=trace,hyper=trace,debug", "trace,h2=trace,reqwest=trace"] {
        let line = ["--once", "--hostname", "box", "--log-level", level];
        let (code, _, error) = outcome(portreeve(&docker, &consul, &line).env("CONSUL_HTTP_TOKEN", "s3cret"));
        assert_eq!(code, Some(0), "{error}");
        let first = error.lines().next().unwrap_or_default();
        let address = format!("Consul at {}", consul.address());
        for part in [env!("CARGO_PKG_VERSION"), "register", "hostname=box", "token=***", "Docker at unix://", &address]
        {
            assert!(first.contains(part), "{part}: {first}");
        }
        assert!(!error.contains("hidden-value") && !error.contains("s3cret"), "{level}: {error}");
        assert!(!error.contains("hyper"), "{level}: {error}");
    }
}

#[test]
fn a_label_does_not_choose_what_is_probed() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    let env = ["SERVICE_NAME=web", "SERVICE_READY=/up", "SERVICE_ADDRESS=10.99.99.99", "SERVICE_ADVERTISE_PORT=1"];
    docker.set(with_env("web", 8000, &env));
    let (_, planned, _) = outcome(&mut portreeve(&docker, &consul, &["--dry-run"]));
    assert_eq!(planned, "wait for http://127.0.0.1:8000/up before dockerhost:web:80 is registered\n");
}

#[test]
fn ports_are_read_as_images_write_them_and_invalid_ones_are_logged() {
    let (docker, consul) = fakes();
    let mut web = container("web", 8000);
    web["HostConfig"]["NetworkMode"] = json!("host");
    web["NetworkSettings"] = json!({"Ports": {}, "Networks": {"host": {"IPAddress": ""}}});
    web["Config"]["ExposedPorts"] = json!({"33060-33061/tcp": {}, "53/UDP": {}, "81": {}, "0/tcp": {}, "9/quic": {}});
    docker.set(web);
    let (code, _, error) = outcome(&mut portreeve(&docker, &consul, &["--once"]));
    assert_eq!(code, Some(0), "{error}");
    let ids = ["33060", "33061", "53:udp", "81"].map(|port| format!("dockerhost:web:{port}"));
    assert_eq!(consul.ids(), ids);
    let mut explain = portreeve(&docker, &consul, &[]);
    let mut command = std::process::Command::new(explain.get_program());
    command.env_clear().envs(explain.env("X", "").get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (_, explained, _) = outcome(command.args(["explain", "web"]));
    for port in ["0/tcp", "9/quic"] {
        assert!(explained.contains(port) && error.contains(port), "{port}: {explained} {error}");
    }
}
