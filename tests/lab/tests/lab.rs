//! Tests of the lab: its hosts behave like machines, and all of it is removed at the end.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::SystemTime;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portreeve_lab::http::{self, Request};
use portreeve_lab::namespace::in_network;
use portreeve_lab::wait::{LONG, wait_until};
use portreeve_lab::{BALANCER_URL, HOSTS, Lab};

#[test]
fn each_host_is_a_machine_of_its_own() {
    let lab = Lab::builder("each_host_is_a_machine_of_its_own").up();
    println!("three bare hosts: {:?}", lab.startup_time());
    for number in HOSTS {
        let host = lab.host(number);
        assert_eq!(host.run(&["hostname"]).trim(), host.name());
        assert!(host.run(&["cat", "/proc/1/cmdline"]).contains("host.sh"), "process numbers begin anew");
        for directory in ["/etc", "/run", "/var/lib", "/var/log"] {
            let file = format!("{directory}/portreeve-lab-test");
            host.write(&file, &host.name());
            assert_eq!(host.run(&["cat", &file]), host.name());
            assert!(!Path::new(&file).exists(), "{file} is on the machine");
        }
        assert!(host.outside("/etc/passwd").exists(), "what the machine has is there");
    }
    for from in HOSTS {
        for to in HOSTS {
            let address = format!("{}:4000", lab.host(to).address());
            let listener = in_network(lab.host(to).network(), || TcpListener::bind(&address)).expect("a free port");
            let stream = in_network(lab.host(from).network(), || TcpStream::connect(&address));
            let stream = stream.unwrap_or_else(|e| panic!("host-{from} does not reach host-{to}: {e}"));
            let (_, peer) = listener.accept().expect("a connection waits");
            assert_eq!(stream.local_addr().expect("connected"), peer);
        }
    }
}

#[test]
fn containers_on_random_ports_are_served_through_nginx() {
    let lab = Lab::builder("containers_on_random_ports").docker(&[1, 2]).consul().nginx().up();
    println!("three hosts with everything: {:?}", lab.startup_time());
    let engines: BTreeSet<_> = [1, 2].map(|host| lab.docker(host).cli(&["info", "--format", "{{.ID}}"])).into();
    assert_eq!(engines.len(), 2, "each engine has an ID of its own");

    let events = lab.docker(1).events();
    let begun = SystemTime::now();
    let containers = [1, 2].map(|host| lab.docker(host).run(&format!("web-{host}"), "v1", &[]));
    let mut servers = String::new();
    for container in &containers {
        let address = format!("{}:{}", container.host().address(), container.port(8080));
        let answer = lab.host(3).get(&format!("http://{address}/")).expect("host-3 reaches the container");
        assert_eq!((answer.status, answer.body), (200, format!("{} v1\n", container.name())));
        servers += &format!("server {address};");
    }
    let start = events.find("start", "web-1", begun);
    assert_eq!(start.id, containers[0].id());
    assert!(start.at >= begun && start.at <= SystemTime::now(), "Docker's clock is ours: {start:?}");

    lab.nginx().configure(
        "lab.conf",
        &format!("upstream web {{ {servers} }} server {{ listen 80; location / {{ proxy_pass http://web; }} }}"),
    );
    wait_until("nginx's answer", LONG, || lab.client().get(BALANCER_URL));
    let stream = lab.client().stream(BALANCER_URL, 100);
    wait_until("an answer of each container", LONG, || {
        let seen: BTreeSet<_> = stream.samples().read(|samples| {
            samples.iter().filter_map(|sample| Some(sample.outcome.as_ref().ok()?.name.clone())).collect()
        });
        if seen.len() == 2 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    let failures: Vec<_> = stream.stop().into_iter().filter_map(|sample| sample.outcome.err()).collect();
    assert_eq!(failures, [""; 0]);
}

#[test]
fn a_restarted_container_is_a_new_instance() {
    let lab = Lab::builder("a_restarted_container").docker(&[1]).up();
    let events = lab.docker(1).events();
    let web = lab.docker(1).run("web", "v1", &[]);
    let ask = || lab.client().get(&format!("http://192.168.50.101:{}/", web.port(8080)));
    let first = ask().expect("it listens");
    web.kill("HUP");
    let second = ask().expect("it listens still");
    assert_eq!(first.header("x-started"), second.header("x-started"), "SIGHUP changes nothing");
    let begun = SystemTime::now();
    web.restart();
    assert_eq!(events.find("kill", "web", begun).signal, Some(15));
    events.find("start", "web", begun);
    let third = wait_until("the restarted container", LONG, ask);
    assert_ne!(first.header("x-started"), third.header("x-started"), "it is a new life");
}

#[test]
fn consul_loses_its_leader_and_all_its_servers() {
    let lab = Lab::builder("consul_loses").consul().up();
    let put = |key: &str| {
        let url = format!("http://192.168.50.101:8500/v1/kv/{key}");
        lab.client().send(&Request::with("PUT", &url, "kept")).map(|answer| answer.status)
    };
    assert_eq!(put("before").ok(), Some(200));
    let leader = lab.consul().leader();
    lab.consul().server(leader).kill();
    let next = wait_until("another leader", LONG, || {
        let next = lab.consul().leader();
        if next == leader { Err("the killed one") } else { Ok(next) }
    });
    assert_ne!(next, leader);
    lab.consul().server(leader).start();
    lab.consul().wait();
    lab.consul().stop();
    assert!(put("meanwhile").is_err(), "nobody listens");
    lab.consul().start();
    let answer = lab.client().get("http://192.168.50.102:8500/v1/kv/before?raw").expect("consul is back");
    assert_eq!(answer.body, "kept", "a server's data outlive its process");
}

#[test]
fn the_client_reports_what_came_and_nothing_else() {
    let answer = |bytes: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut connection, _) = listener.accept().expect("the client comes");
                BufReader::new(&connection).lines().map_while(Result::ok).find(String::is_empty);
                connection.write_all(bytes).expect("the client reads");
            });
            http::send(&Request::get(&url)).map(|answer| (answer.status, answer.body)).map_err(|e| e.kind())
        })
    };
    let body = |body: &str| Ok((200, body.to_owned()));
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nweb"), body("web"));
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nweb\r\nA\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(answer(chunked), body("web0123456789"));
    assert_eq!(answer(b"HTTP/1.1 503 No\r\n\r\n"), Ok((503, String::new())));
    let torn = [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nweb", &chunked[..chunked.len() - 12]];
    for bytes in torn {
        assert_eq!(answer(bytes), Err(io::ErrorKind::UnexpectedEof));
    }
}

#[test]
fn two_labs_run_side_by_side() {
    let up = |name: &'static str| {
        let lab = Lab::builder(name).docker(&[1]).up();
        let port = lab.docker(1).run(name, "v1", &[]).port(8080);
        (lab, name, format!("http://192.168.50.101:{port}/"))
    };
    let labs = thread::scope(|scope| {
        ["left", "right"].map(|name| scope.spawn(move || up(name))).map(|lab| lab.join().expect("it comes up"))
    });
    for (lab, name, url) in &labs {
        // Both labs have this address, each in its own network.
        assert_eq!(lab.client().get(url).expect("the container listens").header("x-instance"), Some(*name));
    }
}

#[test]
fn nothing_is_left_when_a_lab_is_dropped() {
    let lab = Lab::builder("dropped").docker(&[1, 2]).consul().nginx().up();
    lab.docker(1).run("web", "v1", &[]);
    let traces = Traces::of(lab.run().name());
    drop(lab);
    assert_eq!(traces.left(), [""; 0]);
}

#[test]
fn nothing_but_the_logs_is_left_after_a_panic() {
    let name = format!("panic_{}", std::process::id());
    let mut traces = None;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::builder(&name).docker(&[2]).up();
        lab.docker(2).run("web", "v1", &[]);
        traces = Some(Traces::of(lab.run().name()));
        panic!("meant to happen");
    }));
    assert_eq!(panic.expect_err("it panics").downcast_ref(), Some(&"meant to happen"));
    assert_eq!(traces.expect("the lab was up").left(), [""; 0]);
    let program = env::current_exe().expect("/proc is mounted");
    let logs = program.ancestors().nth(3).expect("target/debug/deps").join("lab-logs").join(name);
    let log = fs::read_to_string(logs.join("host-2/dockerd.log")).expect("a failed run's logs are kept");
    assert!(log.contains("API listen"), "{log}");
    fs::remove_dir_all(logs).expect("they are ours");
}

#[test]
fn nothing_is_left_when_the_test_is_killed() {
    let mut other = OtherLab::up();
    let traces = Traces::of(&other.run);
    other.child.kill().expect("a child of ours");
    traces.wait_until_gone();
}

#[test]
fn the_next_lab_sweeps_what_a_killed_sweeper_has_left() {
    let mut other = OtherLab::up();
    let traces = Traces::of(&other.run);
    kill(Pid::from_raw(other.sweeper), Signal::SIGKILL).expect("the sweeper runs");
    other.child.kill().expect("a child of ours");
    other.child.wait().expect("a child of ours");
    drop(Lab::builder("next").up());
    traces.wait_until_gone();
}

#[test]
fn a_kept_lab_runs_until_its_pipe_is_closed() {
    let lab = Lab::builder("kept").up();
    let (directory, network) = (lab.run().directory().to_owned(), lab.host(1).network().to_owned());
    let pipe = lab.detach();
    let listener = in_network(&network, || TcpListener::bind("192.168.50.101:4000"));
    assert!(listener.is_ok(), "the host's network is still there");
    drop(pipe);
    wait_until("the sweeper", LONG, || if directory.exists() { Err("the run's directory is there") } else { Ok(()) });
    assert!(!network.exists());
}

/// Starts a lab. If `HOLD` is set, the lab runs while stdin is open.
#[test]
#[ignore = "the program that other tests start and kill"]
fn hold() {
    let lab = Lab::builder("hold").docker(&[1]).consul().nginx().up();
    lab.docker(1).run("web", "v1", &[]);
    println!("\nheld: {} {}", lab.run().name(), lab.run().sweeper());
    if env::var_os(HOLD).is_some() {
        io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
    }
}

const HOLD: &str = "PORTREEVE_LAB_HOLD";

/// A lab of another process.
struct OtherLab {
    child: Child,
    run: String,
    sweeper: i32,
}

impl OtherLab {
    fn up() -> Self {
        let mut child = Command::new(env::current_exe().expect("/proc is mounted"))
            .args(["--ignored", "--exact", "hold", "--nocapture"])
            .env(HOLD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
        let line = lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.strip_prefix("held: ")?.to_owned()));
        let line = line.expect("the other process has a lab");
        let (run, sweeper) = line.split_once(' ').expect("two words");
        Self { child, run: run.to_owned(), sweeper: sweeper.parse().expect("a number") }
    }
}

impl Drop for OtherLab {
    fn drop(&mut self) {
        // Already killed, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the machine shows of a run: recorded while it exists, searched for after its end.
struct Traces {
    run: String,
    processes: BTreeSet<Process>,
}

/// A path below `/proc`, and the start time, since process numbers are reused.
type Process = (PathBuf, String);

impl Traces {
    /// Records the traces of a run with at least one container. Panics if a kind of trace is missing.
    fn of(run: &str) -> Self {
        let networks: BTreeSet<_> = files(Path::new("/run/netns"), run).iter().map(inode).collect();
        let mut processes = files(Path::new("/proc"), "");
        // A host's processes are found by their network, those of a container by their control group.
        processes.retain(|process| {
            networks.contains(&inode(process.join("ns/net")))
                || fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(run))
        });
        let processes = processes.into_iter().filter_map(|process| Some((process.clone(), started(&process)?)));
        let traces = Self { run: run.to_owned(), processes: processes.collect() };
        let left = traces.left();
        for kind in ["/run/portreeve-lab/", "/run/netns/", "/sys/fs/cgroup/", "/proc/"] {
            assert!(left.iter().any(|trace| trace.starts_with(kind)), "no {kind} in {left:?}");
        }
        traces
    }

    fn left(&self) -> Vec<String> {
        let mut left = files(Path::new("/run/portreeve-lab"), &self.run);
        left.extend(files(Path::new("/run/netns"), &self.run));
        left.extend(files(Path::new("/sys/fs/cgroup"), &self.run));
        for controller in files(Path::new("/sys/fs/cgroup"), "") {
            left.extend(files(&controller, &self.run));
        }
        let living = self.processes.iter().filter(|(process, start)| started(process).as_ref() == Some(start));
        left.extend(living.map(|(process, _)| process.clone()));
        let mut left: Vec<_> = left.into_iter().map(|path| path.display().to_string()).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        left.extend(mounts.lines().filter(|mount| mount.contains(&self.run)).map(str::to_owned));
        left
    }

    /// For a run whose parent was killed: init reaps its processes, at some time.
    fn wait_until_gone(&self) {
        wait_until("the end of the run", LONG, || match self.left() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        });
    }
}

/// The start time of a process; `None` if it has exited, even as a zombie.
fn started(process: &Path) -> Option<String> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (!matches!(fields[0], "Z" | "X")).then(|| fields[19].to_owned())
}

fn inode(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.ino())
}

/// The entries of a directory whose names begin with `beginning`; empty without the directory.
fn files(directory: &Path, beginning: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(beginning)).map(|e| e.path()).collect()
}
