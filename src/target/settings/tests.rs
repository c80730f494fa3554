use nix::sys::signal::Signal;

use super::*;

const TEMPLATE: &str = "\n[[template]]\nsource = \"a.hbs\"\ndestination = \"/etc/a.conf\"\n";

fn read(keys: &str) -> Result<Settings, String> {
    toml::from_str(&format!("{keys}{TEMPLATE}")).map_err(|error| error.to_string())
}

#[test]
fn an_nginx_needs_only_a_name_and_templates() {
    let settings = read("name = 'edge'\nkind = 'nginx'").expect("it is right");
    let template =
        TemplateSettings { source: "a.hbs".into(), destination: "/etc/a.conf".into(), ..TemplateSettings::default() };
    let kind = TargetKind::Nginx(NginxSettings::default());
    assert_eq!(settings, Settings::new("edge".into(), kind, vec![template]));
    assert_eq!(NginxSettings::default().reload_timeout, Duration::from_secs(30));
}

#[test]
fn every_key_is_parsed() {
    let settings = toml::from_str::<Settings>(
        r#"
        name = "edge"
        kind = "nginx"
        binary = "/opt/nginx"
        conf = "/srv/nginx.conf"
        prefix = "/srv"
        pid_file = "/run/n.pid"
        check_timeout = "5s"
        reload_timeout = "1m"
        quiet = "1s:2s"
        leading = false
        interval = "3s"
        splay = "4s"
        [[template]]
        source = "a"
        destination = "/b"
        mode = "0640"
        user = "root"
        group = "0"
        "#,
    )
    .expect("it is right");
    let kind = TargetKind::Nginx(NginxSettings {
        binary: "/opt/nginx".into(),
        conf: Some("/srv/nginx.conf".into()),
        prefix: Some("/srv".into()),
        pid_file: Some("/run/n.pid".into()),
        check_timeout: Duration::from_secs(5),
        reload_timeout: Duration::from_secs(60),
    });
    assert_eq!(settings.kind, kind);
    assert_eq!(settings.templates[0].mode, Some(0o640));
    let [one, two, three, four] = [1, 2, 3, 4].map(Duration::from_secs);
    let quiet = Some(debounce::QuietRange { min: one, max: two });
    assert_eq!(settings.debounce, debounce::Settings { quiet, leading: false, interval: three, splay: four });

    let settings = read("name = 'c'\nkind = 'command'\ncheck = ['c', '{{candidate}}']\nreload = ['r']");
    let reload = Some(ReloadMethod::Command(vec!["r".into()]));
    let check = Some(vec!["c".into(), "{{candidate}}".into()]);
    let kind = TargetKind::Command(CommandSettings { check, reload, ..CommandSettings::default() });
    assert_eq!(settings.expect("it is right").kind, kind);

    let settings = read("name = 'c'\nkind = 'command'\npid_file = '/p'\nsignal = 'SIGUSR2'\nprogram = 'haproxy'");
    let program = Some("haproxy".to_owned());
    let reload = Some(ReloadMethod::Signal { pid_file: "/p".into(), signal: Signal::SIGUSR2, program });
    let kind = TargetKind::Command(CommandSettings { reload, ..CommandSettings::default() });
    assert_eq!(settings.expect("it is right").kind, kind);

    let settings = read("name = 'c'\nkind = 'command'\ncontainer = 'edge'\nsignal = 'SIGUSR1'");
    let reload = Some(ReloadMethod::Container { name: "edge".into(), signal: Signal::SIGUSR1 });
    let kind = TargetKind::Command(CommandSettings { reload, ..CommandSettings::default() });
    assert_eq!(settings.expect("it is right").kind, kind);

    let settings = read("name = 'c'\nkind = 'nginx'\nprobe = 'https://h/x'\nprobe_timeout = '3s'\nprobe_status = 204");
    let url = "https://h/x".parse().expect("a URL");
    let probe = Some(ProbeSettings { url, timeout: Duration::from_secs(3), status: Some(204) });
    assert_eq!(settings.expect("it is right").probe, probe);

    let table = "name = 'c'\nkind = 'nginx'\n[[template]]\nsource = 'b'\ndestination = '/{{name}}'\neach = '(services)'\n\
                 symlinks = 'refuse'\ncreate_dirs = false\n";
    let template = toml::from_str::<Settings>(table).expect("it is right").templates.remove(0);
    assert_eq!((template.each.as_deref(), template.symlinks), (Some("(services)"), SymlinkPolicy::Refuse));
    assert_eq!(template.create_dirs, Some(false));
}

#[test]
fn the_language_follows_from_the_file_name_or_the_kind() {
    let escape = |kind: &str, keys: &str| {
        let table = format!("name = 'n'\nkind = '{kind}'\n[[template]]\nsource = 'a'\n{keys}");
        let settings = toml::from_str::<Settings>(&table).unwrap_or_else(|error| panic!("{error}"));
        settings.escape(&settings.templates[0])
    };
    let cases = [
        ("nginx", "destination = '/etc/nginx/conf.d/a.conf'", Escape::Nginx),
        ("nginx", "destination = '/srv/a.json'", Escape::Json),
        ("nginx", "destination = '/srv/a.json'\nescape = 'none'", Escape::None),
        ("nginx", "destination = '/srv/{{name}}.json'\neach = '(services)'", Escape::Json),
        ("command", "destination = '/etc/app.conf'", Escape::None),
        ("command", "destination = '/etc/haproxy/haproxy.cfg'", Escape::Haproxy),
        ("command", "destination = '/etc/haproxy/backends.cfg'\nescape = 'haproxy'", Escape::Haproxy),
        ("command", "destination = '/etc/haproxy/backends.cfg'", Escape::None),
    ];
    for (kind, keys, expected) in cases {
        assert_eq!(escape(kind, keys), expected, "{keys}");
    }
}

#[test]
fn each_error_names_the_key() {
    let nginx = |keys: &str| format!("name = 'n'\nkind = 'nginx'\n{keys}");
    let command = |keys: &str| format!("name = 'n'\nkind = 'command'\n{keys}");
    let mistakes = [
        ("name = 'n'\nkind = 'apache'".to_owned(), "apache"),
        ("name = '../n'\nkind = 'nginx'".to_owned(), "`name`"),
        ("name = ''\nkind = 'nginx'".to_owned(), "`name`"),
        ("kind = 'nginx'".to_owned(), "`name`"),
        (nginx("binery = 'x'"), "`binery`"),
        (nginx("reload = ['x']"), "`reload` is not for kind = \"nginx\""),
        (nginx("check_timeout = '5'"), "5"),
        (nginx("quiet = '2s:1s'"), "MAX is less than MIN"),
        (nginx("interval = '2d'"), "`interval` is longer than a day"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/etc/a.conf'"), "`destination`: /etc/a.conf"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nmode = '0999'"), "octal"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nmode = 644"), "octal"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nmod = '1'"), "`mod`"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\neach = '(services)'"), "`each` asks for several"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/{{name}}'"), "`each` has to say"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nescape = 'path'"), "path"),
        (command("conf = '/x'"), "`conf` is not for kind = \"command\""),
        (command("signal = 'SIGHUP'"), "`signal` needs `pid_file` or `container`"),
        (command("pid_file = '/p'\nsignal = 'HANGUP'"), "`signal`: \"HANGUP\""),
        (command("pid_file = '/p'\nreload = ['x']"), "`pid_file` and `reload`"),
        (command("reload = []"), "`reload`: the first"),
        (nginx("container = 'x'"), "`container` is not for kind = \"nginx\""),
        (command("container = 'x'\nreload = ['x']"), "`container` and `reload`"),
        (command("container = 'x'\npid_file = '/p'"), "`container` and `pid_file`"),
        (command("container = ''"), "`container` has to be"),
        (command("container = 'x'\nprogram = 'y'"), "`program` needs `pid_file`"),
        (command("probe = '127.0.0.1:80'"), "`probe`: \"127.0.0.1:80\""),
        (nginx("probe = 'unix:/x'"), "write http:// or https://"),
        (nginx("probe_timeout = '1s'"), "`probe_timeout`: needs `probe`"),
        (nginx("probe = 'http://h/'\nprobe_status = 99"), "`probe_status`: 99 is not an HTTP status"),
        (nginx("[[template]]\nsource = 'b'\ndestination = '/b'\nsymlinks = 'keep'"), "`keep`"),
        (command("check = ['true']"), "{{candidate}}"),
    ];
    for (keys, named) in mistakes {
        let error = read(&keys).expect_err(&keys);
        assert!(error.contains(named), "{keys}: {error}");
    }
    let error = toml::from_str::<Settings>("name = 'n'\nkind = 'nginx'").expect_err("no template");
    assert!(error.to_string().contains("`template`"), "{error}");
}
