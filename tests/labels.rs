//! The rules by which variables, labels and ports of containers become services. Each rule is one run of the program.
//!
//! The expected lines have the form `id name address:port ["tag"] {"meta":"value"} check {...}`.

#[path = "registrator/checks.rs"]
mod checks;
mod common;
#[path = "registrator/places.rs"]
mod places;
#[path = "registrator/run.rs"]
mod run;
#[path = "registrator/subject.rs"]
mod subject;

use run::Outcome;
use subject::{Subject, a1, pair, web};

/// A rule, the containers, the flags, and the expected registrations.
type Row<'a> = (&'a str, Vec<Subject>, &'a [&'a str], &'a [&'a str]);

fn run(containers: &[Subject], flags: &[&str]) -> Outcome {
    run::register(containers.iter().map(Subject::inspect).collect(), flags, &[], "192.168.1.102")
}

#[track_caller]
fn hold(rows: &[Row<'_>]) {
    let mut broken = Vec::new();
    for (rule, containers, flags, lines) in rows {
        let outcome = run(containers, flags);
        if outcome.code != Some(0) || outcome.lines != *lines {
            broken.push(format!("{rule}\n  expected {lines:#?}\n  got {outcome:#?}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Like [`hold`], for rules about one container without flags.
#[track_caller]
fn each(rows: &[(&str, Subject, &[&str])]) {
    let rows: Vec<Row<'_>> =
        rows.iter().map(|(rule, one, lines)| (*rule, vec![one.clone()], &[][..], *lines)).collect();
    hold(&rows);
}

#[test]
fn names_ids_and_groups() {
    let dns = a1().publish("53/tcp", &["0.0.0.0:5300"]).publish("53/udp", &["0.0.0.0:5301"]);
    each(&[
        (
            "the image names the service",
            web().image("reg.local:5000/team/app:1.2"),
            &["dockerhost:a1:80 app 192.168.1.102:8000"],
        ),
        (
            "a digest is no part of the name",
            web().image("team/app@sha256:00"),
            &["dockerhost:a1:80 app 192.168.1.102:8000"],
        ),
        ("an image without a name", web().image("sha256:00"), &["dockerhost:a1:80 a1 192.168.1.102:8000"]),
        (
            "several ports make a group",
            pair(),
            &["dockerhost:a1:443 nginx-443 192.168.1.102:4443", "dockerhost:a1:80 nginx-80 192.168.1.102:8000"],
        ),
        (
            "a global name gets the port in a group",
            pair().env("SERVICE_NAME=shop"),
            &["dockerhost:a1:443 shop-443 192.168.1.102:4443", "dockerhost:a1:80 shop-80 192.168.1.102:8000"],
        ),
        (
            "a name for a port stays as it is",
            pair().env("SERVICE_80_NAME=shop"),
            &["dockerhost:a1:443 nginx-443 192.168.1.102:4443", "dockerhost:a1:80 shop 192.168.1.102:8000"],
        ),
        (
            "what is only exposed does not count",
            web().expose("443/tcp"),
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
        (
            "what is ignored counts",
            pair().env("SERVICE_443_IGNORE=yes"),
            &["dockerhost:a1:80 nginx-80 192.168.1.102:8000"],
        ),
        (
            "udp has an id and a tag of its own",
            a1().publish("53/udp", &["0.0.0.0:53"]),
            &[r#"dockerhost:a1:53:udp nginx 192.168.1.102:53 ["udp"]"#],
        ),
        (
            "both protocols of a port are a group",
            dns.clone(),
            &[
                "dockerhost:a1:53 nginx-53 192.168.1.102:5300",
                r#"dockerhost:a1:53:udp nginx-53 192.168.1.102:5301 ["udp"]"#,
            ],
        ),
        (
            "one name for both",
            dns.env("SERVICE_53_NAME=dns"),
            &["dockerhost:a1:53 dns 192.168.1.102:5300", r#"dockerhost:a1:53:udp dns 192.168.1.102:5301 ["udp"]"#],
        ),
        (
            "an id replaces the whole id",
            a1().publish("53/udp", &["0.0.0.0:53"]).env("SERVICE_ID=mine"),
            &[r#"mine nginx 192.168.1.102:53 ["udp"]"#],
        ),
        (
            "an id for each port",
            pair().env("SERVICE_80_ID=a").env("SERVICE_443_ID=b"),
            &["a nginx-80 192.168.1.102:8000", "b nginx-443 192.168.1.102:4443"],
        ),
        ("no port, no service", a1(), &[]),
    ]);
    hold(&[
        ("the host's part of the id", vec![web()], &["--hostname", "box"], &["box:a1:80 nginx 192.168.1.102:8000"]),
        (
            "explicit: no name, no service",
            vec![pair().env("SERVICE_80_NAME=x"), web().named("b1")],
            &["-explicit"],
            &["dockerhost:a1:80 x 192.168.1.102:8000"],
        ),
        (
            "explicit: the name may be a label, and global",
            vec![web().label("SERVICE_NAME", "x")],
            &["-explicit=true"],
            &["dockerhost:a1:80 x 192.168.1.102:8000"],
        ),
        (
            "explicit may be switched off",
            vec![web()],
            &["-explicit=false"],
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
    ]);
}

#[test]
fn of_two_claims_on_one_id_one_is_refused_and_both_are_named() {
    let [a, b] = ["a1", "b1"].map(|name| web().named(name).env("SERVICE_ID=same"));
    let outcome = run(&[a, b, web().named("c1")], &[]);
    assert_eq!(
        (outcome.code, &outcome.lines[..]),
        (
            Some(1),
            &["dockerhost:c1:80 nginx 192.168.1.102:8000", "same nginx 192.168.1.102:8000"].map(str::to_owned)[..]
        )
    );
    let message = "80/tcp is not registered: container \"a1\" has the id \"same\"";
    assert!(outcome.log.contains(message) && outcome.log.contains("container=\"b1\""), "{}", outcome.log);
}

#[test]
fn precedence_of_keys() {
    let named = |subject: Subject| subject.env("SERVICE_REGION=r");
    let r = |name| format!(r#"dockerhost:a1:80 {name} 192.168.1.102:8000 {{"region":"r"}}"#);
    let [one, two, label, port, own, shop] = ["one", "two", "label", "port", "own", "nginx"].map(r);
    each(&[
        ("a later variable", named(web()).env("SERVICE_NAME=one").env("SERVICE_NAME=two"), &[&two]),
        ("a label beats a variable", named(web()).env("SERVICE_NAME=one").label("SERVICE_NAME", "label"), &[&label]),
        (
            "for a port beats global, whatever the source",
            named(web()).env("SERVICE_80_NAME=port").label("SERVICE_NAME", "label"),
            &[&port],
        ),
        (
            "a label for a port beats a variable for it",
            named(web()).env("SERVICE_80_NAME=port").label("SERVICE_80_NAME", "label"),
            &[&label],
        ),
        (
            "Docker's own style beats registrator's",
            named(web()).label("SERVICE_NAME", "label").label("portreeve.name", "own"),
            &[&own],
        ),
        (
            "Docker's own style, for a port",
            named(web()).label("portreeve.80.name", "own").label("portreeve.name", "label"),
            &[&own],
        ),
        (
            "registrator's for a port beats Docker's global",
            named(web()).label("portreeve.name", "own").label("SERVICE_80_NAME", "label"),
            &[&label],
        ),
        (
            "port and protocol beat port",
            named(web()).env("SERVICE_80_TCP_NAME=one").label("SERVICE_80_NAME", "label"),
            &[&one],
        ),
        ("another protocol", named(web()).env("SERVICE_80_UDP_NAME=one"), &[&shop]),
        ("port beats range", named(web()).env("SERVICE_80_NAME=one").label("SERVICE_1-100_NAME", "label"), &[&one]),
        ("range beats global", named(web()).env("SERVICE_1-100_NAME=one").label("SERVICE_NAME", "label"), &[&one]),
        ("outside of the range", named(web()).env("SERVICE_81-100_NAME=one"), &[&shop]),
        (
            "an empty value for a port says nothing",
            named(web()).env("SERVICE_80_NAME=").env("SERVICE_NAME=one"),
            &[&one],
        ),
        ("an empty label hides the variable", named(web()).env("SERVICE_NAME=one").label("SERVICE_NAME", ""), &[&shop]),
        (
            "the prefix is in capitals, the rest as one likes",
            named(web()).env("SERVICE_nAmE=one").env("service_name=two"),
            &[&one],
        ),
        (
            "080 is not a port, nor is another",
            named(web()).env("SERVICE_080_NAME=one").env("SERVICE_9_NAME=two"),
            &[&shop],
        ),
        ("a variable without a value", named(web()).env("SERVICE_NAME"), &[&shop]),
    ]);
}

#[test]
fn remaining_keys_become_meta() {
    let long = "v".repeat(513);
    each(&[
        (
            "any other key",
            web().env("SERVICE_REGION=eu").env("SERVICE_HOST=a.example").env("SERVICE_PATH=/a"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"host":"a.example","path":"/a","region":"eu"}"#],
        ),
        (
            "for a port",
            pair().env("SERVICE_80_HOST=a.example"),
            &[
                "dockerhost:a1:443 nginx-443 192.168.1.102:4443",
                r#"dockerhost:a1:80 nginx-80 192.168.1.102:8000 {"host":"a.example"}"#,
            ],
        ),
        (
            "everything after the first =",
            web().env("SERVICE_ARGS=a=b=c"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"args":"a=b=c"}"#],
        ),
        (
            "a number alone is a key",
            web().env("SERVICE_80=eighty"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"80":"eighty"}"#],
        ),
        (
            "an empty value",
            web().label("SERVICE_IGNORE", ""),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"ignore":""}"#],
        ),
        (
            "ip and port are ordinary keys",
            web().env("SERVICE_IP=1.2.3.4").env("SERVICE_PORT=5"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"ip":"1.2.3.4","port":"5"}"#],
        ),
        (
            "Docker's own style",
            web().label("portreeve.canary.group", "b"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"canary_group":"b"}"#],
        ),
        (
            "what Consul refuses in a key",
            web().label("SERVICE_my.key/x", "v"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"my_key_x":"v"}"#],
        ),
        (
            "too long a value",
            web().env(&format!("SERVICE_LONG={long}")).env("SERVICE_OK=1"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"ok":"1"}"#],
        ),
        (
            "too long a key",
            web().env(&format!("SERVICE_{}=1", "k".repeat(129))),
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
        (
            "Consul's own keys and ours",
            web().env("SERVICE_consul-x=1").env("SERVICE_portreeve-engine=x"),
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
        (
            "settings of a check do not",
            web().env("SERVICE_CHECK_INTERVAL=5s"),
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
    ]);
    let many = (0..70).fold(web(), |web, n| web.env(&format!("SERVICE_K{n:02}=v")));
    let outcome = run(&[many], &[]);
    let meta = outcome.bodies[0]["Meta"].as_object().expect("an object");
    assert_eq!(meta.len(), 64, "as many as Consul takes");
    assert!(outcome.log.contains("SERVICE_K69 is left out of Meta"), "{}", outcome.log);
}

#[test]
fn tags() {
    let tags = |tags: &str| format!("dockerhost:a1:80 nginx 192.168.1.102:8000 {tags}");
    each(&[
        ("in their order, trimmed, once each", web().env("SERVICE_TAGS= b , a,,b"), &[&tags(r#"["b","a"]"#)]),
        ("a comma in a tag", web().env(r"SERVICE_TAGS=a\,b,c"), &[&tags(r#"["a,b","c"]"#)]),
        (
            "those for a port replace the global ones",
            web().env("SERVICE_TAGS=g").env("SERVICE_80_TAGS=p"),
            &[&tags(r#"["p"]"#)],
        ),
    ]);
    let blue = web().env("STAGE=prod").label("team", "blue");
    hold(&[
        ("then those of --tags", vec![web().env("SERVICE_TAGS=b,a")], &["-tags", "a,z"], &[&tags(r#"["b","a","z"]"#)]),
        (
            "a template over the container",
            vec![blue],
            &["-tags={{name}},{{env.STAGE}},{{labels.team}},{{image}}"],
            &[&tags(r#"["a1","prod","blue","nginx"]"#)],
        ),
        (
            "a template that fails costs its tags",
            vec![web().env("SERVICE_TAGS=b")],
            &["-tags", "{{env.STAGE}}"],
            &[&tags(r#"["b"]"#)],
        ),
    ]);
}

#[test]
fn weights_overrides_and_ignored_ports() {
    const HERE: &str = "dockerhost:a1:80 nginx 192.168.1.102:8000";
    each(&[
        (
            "a weight",
            web().env("SERVICE_WEIGHT=10"),
            &[
                r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"weight":"10"} and {"Weights":{"Passing":10,"Warning":1}}"#,
            ],
        ),
        (
            "and one while a check warns",
            web().env("SERVICE_WEIGHT=10,2"),
            &[
                r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"weight":"10,2"} and {"Weights":{"Passing":10,"Warning":2}}"#,
            ],
        ),
        (
            "a weight of nothing is none",
            web().env("SERVICE_WEIGHT=0"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"weight":"0"}"#],
        ),
        (
            "tags that others may change",
            web().env("SERVICE_TAG_OVERRIDE=true"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 and {"EnableTagOverride":true}"#],
        ),
        ("or not", web().env("SERVICE_TAG_OVERRIDE=false"), &[HERE]),
        ("ignored", web().env("SERVICE_IGNORE=true"), &[]),
        ("ignored by a label", web().label("portreeve.ignore", "1"), &[]),
        (
            "a range is ignored",
            a1().publish("80/tcp", &["0.0.0.0:8000"])
                .publish("10500/tcp", &["0.0.0.0:1"])
                .env("SERVICE_10000-20000_IGNORE=1"),
            &["dockerhost:a1:80 nginx-80 192.168.1.102:8000"],
        ),
        ("0 means no", web().env("SERVICE_IGNORE=0"), &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"ignore":"0"}"#]),
        (
            "no means no",
            web().env("SERVICE_IGNORE=No"),
            &[r#"dockerhost:a1:80 nginx 192.168.1.102:8000 {"ignore":"No"}"#],
        ),
    ]);
}
