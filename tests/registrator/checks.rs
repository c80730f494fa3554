//! The health checks that a container declares.

use crate::{
    each, hold, run,
    subject::{a1, pair, web},
};

/// Each row: a rule, settings of [`web`] as `KEY=value`, and the expected checks.
#[track_caller]
fn checks(rows: &[(&str, &[&str], &[&str])]) {
    checks_with(&["--allow-script-checks"], rows);
}

#[track_caller]
fn checks_with(flags: &[&str], rows: &[(&str, &[&str], &[&str])]) {
    let mut broken = Vec::new();
    for (rule, settings, checks) in rows {
        let subject = settings.iter().fold(web(), |web, setting| web.env(&format!("SERVICE_{setting}")));
        let outcome = run(&[subject], flags);
        let checks = checks.iter().map(|check| format!(" check {check}")).collect::<String>();
        let expected = format!("dockerhost:a1:80 nginx 192.168.1.102:8000{checks}");
        if outcome.lines != [expected.as_str()] {
            broken.push(format!("{rule}\n  expected {expected}\n  got {outcome:#?}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn registrators_checks() {
    checks(&[
        ("http", &["CHECK_HTTP=/up"], &[r#"{"HTTP":"http://192.168.1.102:8000/up","Interval":"10s"}"#]),
        (
            "http in full",
            &["CHECK_HTTP=/up", "CHECK_HTTP_METHOD=HEAD", "CHECK_INTERVAL=15s", "CHECK_TIMEOUT=1s"],
            &[r#"{"HTTP":"http://192.168.1.102:8000/up","Interval":"15s","Method":"HEAD","Timeout":"1s"}"#],
        ),
        ("a missing slash", &["CHECK_HTTP=up"], &[r#"{"HTTP":"http://192.168.1.102:8000/up","Interval":"10s"}"#]),
        (
            "https",
            &["CHECK_HTTPS=/up", "CHECK_HTTPS_METHOD=HEAD"],
            &[r#"{"HTTP":"https://192.168.1.102:8000/up","Interval":"10s","Method":"HEAD"}"#],
        ),
        (
            "tcp, whatever the value",
            &["CHECK_TCP=yes", "CHECK_TIMEOUT=3s"],
            &[r#"{"Interval":"10s","TCP":"192.168.1.102:8000","Timeout":"3s"}"#],
        ),
        ("ttl has no interval", &["CHECK_TTL=30s", "CHECK_INTERVAL=5s"], &[r#"{"TTL":"30s"}"#]),
        ("grpc", &["CHECK_GRPC=1"], &[r#"{"GRPC":"192.168.1.102:8000","Interval":"10s"}"#]),
        (
            "grpc with TLS",
            &["CHECK_GRPC=1", "CHECK_GRPC_USE_TLS=1", "CHECK_TLS_SKIP_VERIFY=1", "CHECK_INTERVAL=5s"],
            &[r#"{"GRPC":"192.168.1.102:8000","GRPCUseTLS":true,"Interval":"5s","TLSSkipVerify":true}"#],
        ),
        (
            "skipping needs TLS",
            &["CHECK_GRPC=1", "CHECK_TLS_SKIP_VERIFY=1"],
            &[r#"{"GRPC":"192.168.1.102:8000","Interval":"10s"}"#],
        ),
        ("cmd", &["CHECK_CMD=/x y"], &[r#"{"Args":["check-cmd","000000000000","80","/x y"],"Interval":"10s"}"#]),
        (
            "script",
            &["CHECK_SCRIPT=nc -z $SERVICE_IP $SERVICE_PORT"],
            &[r#"{"Args":["nc","-z","192.168.1.102","8000"],"Interval":"10s"}"#],
        ),
        (
            "a script for a shell",
            &["CHECK_SCRIPT=nc $SERVICE_IP 1|grep OK"],
            &[r#"{"Args":["sh","-c","nc 192.168.1.102 1|grep OK"],"Interval":"10s"}"#],
        ),
        (
            "a status to begin with, and an end",
            &["CHECK_HTTP=/", "CHECK_INITIAL_STATUS=passing", "CHECK_DEREGISTER_AFTER=10m"],
            &[
                r#"{"DeregisterCriticalServiceAfter":"10m","HTTP":"http://192.168.1.102:8000/","Interval":"10s","Status":"passing"}"#,
            ],
        ),
        ("settings alone are no check", &["CHECK_INITIAL_STATUS=passing", "CHECK_INTERVAL=5s"], &[]),
        (
            "http before everything else",
            &["CHECK_TTL=9s", "CHECK_TCP=1", "CHECK_SCRIPT=x", "CHECK_HTTP=/"],
            &[r#"{"HTTP":"http://192.168.1.102:8000/","Interval":"10s"}"#],
        ),
        ("a script before ttl, ttl before tcp", &["CHECK_TTL=9s", "CHECK_TCP=1"], &[r#"{"TTL":"9s"}"#]),
        (
            "what Consul would refuse costs only itself",
            &["CHECK_TCP=1", "CHECK_INTERVAL=15", "CHECK_INITIAL_STATUS=up"],
            &[r#"{"Interval":"10s","TCP":"192.168.1.102:8000"}"#],
        ),
    ]);
    let http = |id: &str, name: &str, port: u16| {
        format!(r#"{id} {name} 192.168.1.102:{port} check {{"HTTP":"http://192.168.1.102:{port}/h","Interval":"10s"}}"#)
    };
    let both = [http("dockerhost:a1:443", "nginx-443", 4443), http("dockerhost:a1:80", "nginx-80", 8000)];
    let udp = r#"dockerhost:a1:53:udp nginx-53 192.168.1.102:53 ["udp"]"#.to_owned();
    let v6 = r#"dockerhost:a1:80 nginx 2001:db8::1:8000 check {"HTTP":"http://[2001:db8::1]:8000/x","Interval":"10s"}"#;
    let with_udp = web().publish("53/udp", &["0.0.0.0:53"]).env("SERVICE_CHECK_HTTP=/h");
    hold(&[
        ("on each port", vec![pair().env("SERVICE_CHECK_HTTP=/h")], &[], &[&both[0], &both[1]]),
        ("but not on udp", vec![with_udp], &[], &[&udp, &both[1]]),
        ("IPv6 in brackets", vec![web().env("SERVICE_CHECK_HTTP=/x")], &["-ip", "2001:db8::1"], &[v6]),
    ]);
}

#[test]
fn checks_of_our_own() {
    checks(&[
        (
            "TLS without verification",
            &["CHECK_HTTPS=/", "CHECK_TLS_SKIP_VERIFY=1"],
            &[r#"{"HTTP":"https://192.168.1.102:8000/","Interval":"10s","TLSSkipVerify":true}"#],
        ),
        (
            "method, header, body",
            &["CHECK_HTTP=/", "CHECK_METHOD=POST", r"CHECK_HEADER=Host: a.example, X-List: 1\,2", "CHECK_BODY={}"],
            &[
                r#"{"Body":"{}","HTTP":"http://192.168.1.102:8000/","Header":{"Host":["a.example"],"X-List":["1,2"]},"Interval":"10s","Method":"POST"}"#,
            ],
        ),
        (
            "thresholds",
            &["CHECK_TCP=1", "CHECK_SUCCESS_BEFORE_PASSING=2", "CHECK_FAILURES_BEFORE_CRITICAL=3"],
            &[r#"{"FailuresBeforeCritical":3,"Interval":"10s","SuccessBeforePassing":2,"TCP":"192.168.1.102:8000"}"#],
        ),
        ("h2ping", &["CHECK_H2PING=1"], &[r#"{"H2PING":"192.168.1.102:8000","H2PingUseTLS":false,"Interval":"10s"}"#]),
        (
            "docker",
            &["CHECK_DOCKER=/bin/up -q", "CHECK_SHELL=/bin/sh"],
            &[
                r#"{"Args":["/bin/up","-q"],"DockerContainerID":"00000000000000000000000000000000000000000000000000000000000000a1","Interval":"10s","Shell":"/bin/sh"}"#,
            ],
        ),
        (
            "several, and what they share",
            &[
                "CHECK_HTTP=/",
                "CHECK_1_TCP=1",
                "CHECK_2_HTTP=/deep",
                "CHECK_2_NAME=deep",
                "CHECK_2_INTERVAL=1m",
                "CHECK_INTERVAL=5s",
            ],
            &[
                r#"{"HTTP":"http://192.168.1.102:8000/","Interval":"5s"}"#,
                r#"{"Interval":"5s","TCP":"192.168.1.102:8000"}"#,
                r#"{"HTTP":"http://192.168.1.102:8000/deep","Interval":"1m","Name":"deep"}"#,
            ],
        ),
    ]);
    let dig = a1().publish("53/udp", &["0.0.0.0:53"]).env("SERVICE_CHECK_SCRIPT=dig x");
    let dug = r#"dockerhost:a1:53:udp nginx 192.168.1.102:53 ["udp"] check {"Args":["dig","x"],"Interval":"10s"}"#;
    hold(&[("udp and a script", vec![dig], &["-allow-script-checks"], &[dug])]);
    each(&[
        (
            "Docker's own style",
            web().label("portreeve.80.check.http", "/up"),
            &[
                r#"dockerhost:a1:80 nginx 192.168.1.102:8000 check {"HTTP":"http://192.168.1.102:8000/up","Interval":"10s"}"#,
            ],
        ),
        (
            "udp, asked for by the port",
            a1().publish("53/udp", &["0.0.0.0:53"]).env("SERVICE_53_CHECK_TCP=1"),
            &[
                r#"dockerhost:a1:53:udp nginx 192.168.1.102:53 ["udp"] check {"Interval":"10s","TCP":"192.168.1.102:53"}"#,
            ],
        ),
    ]);
}

#[test]
fn checks_that_run_a_command_must_be_allowed() {
    let tcp = r#"{"Interval":"10s","TCP":"192.168.1.102:8000"}"#;
    checks_with(
        &[],
        &[
            ("a script", &["CHECK_SCRIPT=x"], &[]),
            ("a command", &["CHECK_CMD=x"], &[]),
            ("one inside the container", &["CHECK_DOCKER=x"], &[]),
            ("what else is asked for counts", &["CHECK_SCRIPT=x", "CHECK_TCP=1"], &[tcp]),
        ],
    );
    let outcome = run(&[web().env("SERVICE_CHECK_SCRIPT=x")], &[]);
    assert!(outcome.log.contains("SERVICE_CHECK_SCRIPT is ignored"), "{}", outcome.log);
    assert!(outcome.log.contains("--allow-script-checks"), "{}", outcome.log);
}

#[test]
fn values_as_env_files_and_people_write_them() {
    const HEALTH: &str = r#"{"HTTP":"http://192.168.1.102:8000/health","Interval":"10s"}"#;
    const HEAD: &str = r#"{"HTTP":"http://192.168.1.102:8000/health","Interval":"15s","Method":"HEAD","Timeout":"1s"}"#;
    checks_with(
        &[],
        &[
            ("a line end of Windows", &["CHECK_HTTP=/health\r"], &[HEALTH]),
            ("a space", &["CHECK_HTTP=/health "], &[HEALTH]),
            ("quotes", &["CHECK_HTTP=\"/health\""], &[HEALTH]),
            (
                "everywhere",
                &["CHECK_HTTP='/health'\r", "CHECK_METHOD= head\r", "CHECK_INTERVAL=\"15s\"", "CHECK_TIMEOUT=1s\r\n"],
                &[HEAD],
            ),
            ("a whole URL is no path", &["CHECK_HTTP=http://localhost:8080/health"], &[]),
            ("nor is a host", &["CHECK_HTTP=localhost:8080/health"], &[]),
            ("a control character", &["CHECK_HTTP=/a\u{7}b"], &[]),
            ("a method that is none", &["CHECK_HTTP=/health", "CHECK_METHOD=FETCH"], &[HEALTH]),
            ("a time that no program can count", &["CHECK_HTTP=/health", "CHECK_INTERVAL=9999999999h"], &[HEALTH]),
            ("a timeout of two days", &["CHECK_HTTP=/health", "CHECK_TIMEOUT=48h"], &[HEALTH]),
        ],
    );
    each(&[
        (
            "names, ids, tags, Meta",
            web()
                .env("SERVICE_NAME=\"shop\"\r")
                .env("SERVICE_ID= one ")
                .env("SERVICE_TAGS='a', b\r")
                .env("SERVICE_X='y'\r"),
            &[r#"one shop 192.168.1.102:8000 ["a","b"] {"x":"y"}"#],
        ),
        (
            "an id that Consul never gives back",
            web().env("SERVICE_ID=a//b"),
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
        ("no", web().env("SERVICE_IGNORE=F\r"), &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"ignore":"F"}"#]),
    ]);
}
