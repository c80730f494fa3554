//! Intended differences from registrator.

/// A recorded run in which `register` behaves differently.
pub(crate) struct Difference {
    /// The title of the recorded run.
    pub(crate) title: &'static str,
    /// Why `register` differs.
    pub(crate) reason: &'static str,
    /// The exit code of `register`.
    pub(crate) code: i32,
    /// The registrations of `register`.
    pub(crate) lines: &'static [&'static str],
}

const fn differs(title: &'static str, reason: &'static str, lines: &'static [&'static str]) -> Difference {
    Difference { title, reason, code: 0, lines }
}

/// All differences, except that no `SERVICE_CHECK_*` setting is copied into Meta.
pub(crate) const DIFFERENCES: &[Difference] = &[
    differs(
        "5 labels",
        "tags keep the order in which they were written",
        &[r#"dockerhost:redis.0:6379 db 192.168.1.102:10000 ["master","backups"] {"region":"us2"}"#],
    ),
    differs(
        "9 sctp+tcp collide",
        "sctp has an id and a tag of its own",
        &["dockerhost:x1:80 sig-80 192.168.1.102:8000", r#"dockerhost:x1:80:sctp sig-80 192.168.1.102:8001 ["sctp"]"#],
    ),
    differs(
        "11 ignore =false still ignores",
        "false means no",
        &[r#"dockerhost:i2:80 nginx 192.168.1.102:8000 {"ignore":"false"}"#],
    ),
    differs("23 binding to specific ip", "nobody else reaches a loopback address", &[]),
    differs("31 none net exposed", "without a network nobody reaches it", &[]),
    differs(
        "35 hostname unresolvable",
        "the agent knows its address; Consul refuses 0.0.0.0",
        &["dockerhost:d4:80 nginx 192.168.1.102:8000"],
    ),
    differs(
        "c4 script",
        "a variable of an image must not make the agent run a command: that needs --allow-script-checks",
        &["dockerhost:a1:80 web 192.168.1.102:8000"],
    ),
    differs(
        "c12 https skip verify ignored",
        "it was asked for",
        &[
            r#"dockerhost:a1:80 web 192.168.1.102:8000 check {"HTTP":"https://192.168.1.102:8000/h","Interval":"10s","TLSSkipVerify":true}"#,
        ],
    ),
    differs(
        "c14 path without slash",
        "the missing slash is added",
        &[r#"dockerhost:a1:80 web 192.168.1.102:8000 check {"HTTP":"http://192.168.1.102:8000/h","Interval":"10s"}"#],
    ),
    differs(
        "g2 -tags append + port tags replace global",
        "tags keep the order in which they were written",
        &[r#"dockerhost:a1:80 web 192.168.1.102:8000 ["p1","p2","f1","f2"]"#],
    ),
    differs(
        "g4 template exec failure kills registrator",
        "a bad template costs its tags, and nothing else",
        &["dockerhost:a1:80 web 192.168.1.102:8000", "dockerhost:b1:80 web 192.168.1.102:8001"],
    ),
    differs(
        "m1 mixed case + dotted key",
        "Consul refuses a dot in a key, and the whole service with it",
        &[r#"dockerhost:a1:80 web 192.168.1.102:8000 {"foo_bar":"v","my_key":"z"}"#],
    ),
    differs(
        "m3 empty port name blocks",
        "an empty value for a port says nothing",
        &["dockerhost:a1:443 glob-443 192.168.1.102:4443", "dockerhost:a1:80 glob-80 192.168.1.102:8000"],
    ),
    Difference {
        title: "m5 global ID on 2 ports collides",
        reason: "two services cannot share an id: both are refused",
        code: 1,
        lines: &[],
    },
    differs(
        "k2 container: mode to user net",
        "it is reached where the owner of the network is",
        &["dockerhost:app:80 web 172.20.0.9:80"],
    ),
    Difference { title: "ttlbad", reason: "a bad command line is exit code 2 in every mode", code: 2, lines: &[] },
];
