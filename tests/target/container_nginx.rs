//! nginx in a container with the configuration of the reference: a shared directory, a check through Docker's client, and a
//! signal through Docker.

use std::{fs, os::unix::fs::MetadataExt, process::Command, sync::Arc};

use portreeve_lab::{
    Lab,
    daemon::Daemon,
    docker::Docker,
    portreeve::program,
    wait::{LONG, wait_until},
};

const REFERENCE: &str = include_str!("../../docs/reference/render.md");
const IMAGE: &str = "nginx:1.28";
const SHARED: &str = "/run/edge";
const TEMPLATE: &str = "/etc/portreeve/edge.conf.hbs";
const SECOND: &str = "/etc/portreeve/second.conf.hbs";
const NGINX_CONF: &str = "\
error_log stderr notice;
events {}
http {
    access_log off;
    include /etc/nginx/conf.d/*.conf;
}
";

fn server(body: &str) -> String {
    format!("server {{ listen 80; location = /healthz {{ return 204; }} location / {{ return 200 {body}; }} }}\n")
}

/// The code blocks of the section in order, with the shared directory on the disk of the lab.
fn blocks(language: &str) -> Vec<String> {
    let (_, section) = REFERENCE.split_once("### nginx in a container\n").expect("the section is there");
    let (section, _) = section.split_once("\n## ").expect("it is not the last one");
    let opening = format!("```{language}\n");
    let blocks = section
        .split(&opening)
        .skip(1)
        .map(|rest| rest.split_once("```").expect("it is closed").0.replace("/srv/edge", SHARED));
    blocks.collect()
}

/// The configurations of the reference, one for each way to check.
fn configuration(check: usize) -> String {
    blocks("toml").swap_remove(check)
}

/// Host 1 with Docker, and `portreeve render` beside it.
struct Harness {
    lab: Lab,
    render: Arc<Daemon>,
}

impl Harness {
    /// Starts the container, which serves `v1`.
    fn new(name: &str, configuration: &str) -> Self {
        let lab = Lab::builder(name).docker(&[1]).up();
        import(lab.docker(1));
        let host = lab.host(1);
        fs::create_dir(host.outside(SHARED)).expect("a new directory");
        host.run(&["sh", "-c", &blocks("sh")[0]]);
        host.write("/etc/portreeve.toml", configuration);
        host.write(TEMPLATE, &server("v1"));
        host.write(SECOND, "server { listen 81; return 200 second; }\n");
        let render = host.spawn("render", &[program(), "render", "--config", "/etc/portreeve.toml"]);
        let harness = Self { lab, render };
        harness.until_served("v1");
        harness
    }

    /// Saves as an editor does: writes the whole file under another name, and renames it.
    fn save(&self, text: &str) {
        let host = self.lab.host(1);
        let saving = format!("{TEMPLATE}.saving");
        host.write(&saving, text);
        fs::rename(host.outside(&saving), host.outside(TEMPLATE)).expect("one directory");
    }

    /// The file's content and inode.
    fn file(&self) -> (String, u64) {
        let path = format!("{SHARED}/edge.conf");
        let inode = fs::metadata(self.lab.host(1).outside(&path)).expect("it exists").ino();
        (self.lab.host(1).read(&path), inode)
    }

    fn served(&self) -> String {
        let url = format!("http://{}/", self.lab.host(1).address());
        self.lab.host(1).get(&url).map_or_else(|error| error.to_string(), |answer| answer.body)
    }

    fn until_served(&self, body: &str) {
        wait_until(&format!("{body} from nginx"), LONG, || match self.served() {
            served if served == body => Ok(()),
            served => Err(format!("{served}\n{}", self.render.log())),
        });
    }

    fn until_logged(&self, text: &str) {
        wait_until(&format!("{text:?} in the log"), LONG, || {
            let log = self.render.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    }

    /// The number of reloads of nginx.
    fn reloads(&self) -> usize {
        let logs = self.lab.host(1).output(&["docker", "logs", "edge"]);
        String::from_utf8_lossy(&logs.stderr).matches("(SIGHUP) received").count()
    }

    fn docker(&self, words: &[&str]) -> String {
        self.lab.docker(1).cli(words)
    }

    fn has_pending_reload(&self) -> bool {
        !self.lab.host(1).read("/var/lib/portreeve/targets/edge/journal").contains("\"owed\":null")
    }

    /// A bad candidate is rejected with the error of nginx, and neither the file nor nginx changes; a good one is applied.
    fn rejects_a_bad_candidate_and_applies_a_good_one(&self, complaint: &str) {
        let (before, reloads) = (self.file(), self.reloads());
        self.save("nonsense;\n");
        self.until_logged(complaint);
        assert_eq!((self.file(), self.reloads(), self.served()), (before, reloads, "v1".to_owned()));
        self.save(&server("v2"));
        self.until_served("v2");
        self.until_logged("recovered");
        assert_eq!(self.reloads(), reloads + 1);
    }
}

/// Imports an image with the nginx of this machine, the programs that the check calls, and their libraries.
fn import(docker: &Docker) {
    let programs = ["nginx", "sh", "cat", "cp", "grep", "mkdir", "rm", "sed", "tar"];
    let script =
        "for program; do path=$(command -v $program); echo $path; ldd $path | grep -o '/[^ ]*'; done | sort -u";
    let found = Command::new("sh").args(["-c", script, "sh"]).args(programs).output().expect("sh is installed");
    let found = String::from_utf8(found.stdout).expect("the paths are text");
    let tree = tempfile::tempdir().expect("a directory");
    for directory in ["tmp", "run", "var/log/nginx", "var/lib/nginx", "etc/nginx/conf.d"] {
        fs::create_dir_all(tree.path().join(directory)).expect("a directory");
    }
    fs::write(tree.path().join("etc/nginx/nginx.conf"), NGINX_CONF).expect("a file");
    let tree = tree.path().to_str().expect("the path is text");
    let mut files = vec!["--directory", "/", "etc/passwd", "etc/group"];
    files.extend(found.lines().map(|path| path.trim_start_matches('/')));
    files.extend(["--directory", tree, "."]);
    docker.import_image(IMAGE, &files, &["CMD [\"nginx\", \"-g\", \"daemon off;\"]"]);
}

#[test]
fn checked_by_docker_exec() {
    let harness = Harness::new("nginx_checked_by_docker_exec", &configuration(0));
    harness
        .rejects_a_bad_candidate_and_applies_a_good_one("unknown directive \"nonsense\" in /tmp/candidate/edge.conf:1");

    let before = harness.file();
    harness.docker(&["stop", "edge"]);
    harness.save(&server("v3"));
    harness.until_logged("is not running");
    assert_eq!(harness.file(), before, "nothing is written unchecked");
    harness.docker(&["start", "edge"]);
    harness.until_served("v3");
}

#[test]
fn several_files_are_checked_by_docker_exec() {
    let harness = Harness::new("nginx_several_files", &configuration(1));
    harness
        .rejects_a_bad_candidate_and_applies_a_good_one("unknown directive \"nonsense\" in /tmp/candidate/edge.conf:1");

    let before = harness.file();
    harness.docker(&["exec", "edge", "sed", "-i", "s|/etc/nginx/conf.d/|conf.d/|", "/etc/nginx/nginx.conf"]);
    harness.save(&server("v3"));
    harness.until_logged("nginx.conf does not include /etc/nginx/conf.d/");
    assert_eq!(harness.file(), before, "what nginx does not see is not taken for good");
}

#[test]
fn checked_in_a_new_container() {
    let harness = Harness::new("nginx_checked_in_a_new_container", &configuration(2));
    harness.rejects_a_bad_candidate_and_applies_a_good_one(
        "unknown directive \"nonsense\" in /etc/nginx/conf.d/edge.conf:1",
    );

    harness.docker(&["stop", "edge"]);
    harness.save(&server("v3"));
    harness.until_logged("container edge is not running");
    assert!(harness.file().0.contains("v3"), "it is in place for when nginx starts");
    assert!(harness.has_pending_reload());
    harness.docker(&["start", "edge"]);
    harness.until_served("v3");
    wait_until("the pending reload", LONG, || {
        if harness.has_pending_reload() { Err(harness.render.log()) } else { Ok(()) }
    });
    assert_eq!(harness.docker(&["ps", "--all", "--format", "{{.Names}}"]), "edge", "no check is left over");
}
