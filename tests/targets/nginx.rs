//! A real nginx with a prefix and an address of its own.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portreeve::target::{self, TargetKind};
use tempfile::TempDir;

use super::{directory, text, wait_until};

/// In its directory: `etc` has the configuration, `prefix` is the prefix, `state` the state directory of the target.
pub struct Nginx {
    directory: TempDir,
    /// The address of its servers: a loopback address that no other test uses.
    pub address: String,
    child: Option<Child>,
}

impl Nginx {
    /// Not started yet. `http`: the content of the `http` block besides the includes.
    pub fn new(http: &str) -> Self {
        let nginx = Self { directory: directory(), address: address(), child: None };
        for name in ["etc/conf.d", "prefix/run"] {
            fs::create_dir_all(nginx.path(name)).expect("a directory");
        }
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path tmp;"));
        nginx.write(
            "etc/nginx.conf",
            &format!(
                "daemon off;\nworker_processes 2;\npid run/nginx.pid;\nerror_log error.log notice;\nevents {{}}\nhttp {{\n\
                 access_log off;\n{}\n{http}\ninclude conf.d/*.conf;\n}}\n",
                paths.join("\n")
            ),
        );
        nginx
    }

    /// Started. Its only server is in `etc/conf.d/web.conf` and answers `first`.
    pub fn serving(first: &str) -> Self {
        let mut nginx = Self::new("");
        nginx.write("etc/conf.d/web.conf", &nginx.server(first));
        nginx.start();
        nginx
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The one destination of most tests.
    pub fn web(&self) -> PathBuf {
        self.path("etc/conf.d/web.conf")
    }

    pub fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("it is below")).expect("a directory");
        fs::write(path, text).expect("the test owns it");
    }

    /// A server that answers every request with `text`.
    pub fn server(&self, text: &str) -> String {
        format!("server {{ listen {}; return 200 \"{text}\"; }}\n", self.address)
    }

    pub fn settings(&self) -> target::NginxSettings {
        target::NginxSettings {
            conf: Some(self.path("etc/nginx.conf")),
            prefix: Some(self.path("prefix")),
            ..target::NginxSettings::default()
        }
    }

    pub fn kind(&self) -> TargetKind {
        TargetKind::Nginx(self.settings())
    }

    /// Runs `nginx -p PREFIX -c CONF`. It ends with this process.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("stderr")).expect("the test owns it");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nginx", "-p"])
            .arg(self.path("prefix"))
            .arg("-c")
            .arg(self.path("etc/nginx.conf"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv and nginx are installed");
        self.child = Some(child);
        wait_until("nginx's workers", || match self.workers().len() {
            2 => Ok(()),
            number => Err(format!("{number} workers: {}", text(self.path("stderr")))),
        });
    }

    /// Stops it as a service manager does. Not with SIGKILL: workers outlive a killed master.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(child.id().cast_signed());
            kill(pid, Signal::SIGTERM).expect("it is a child of ours");
            child.wait().expect("it has received a signal");
        }
    }

    /// The master's pid.
    pub fn master(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// The pids of the workers that accept connections.
    pub fn workers(&self) -> Vec<String> {
        let master = self.master();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        let serves = |pid: &&str| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"nginx: worker process\0"))
        };
        children.split_whitespace().filter(serves).map(str::to_owned).collect()
    }

    /// The number of SIGHUPs that it has got.
    pub fn hang_ups(&self) -> usize {
        text(self.path("prefix/error.log")).matches("signal 1 (SIGHUP) received").count()
    }

    /// The body of the answer on a new connection.
    pub fn ask(&self) -> io::Result<String> {
        ask(&self.address)
    }

    /// Waits until it answers this, when old workers accept no more connections.
    pub fn answers(&self, wanted: &str) {
        wait_until("the answer", || match self.ask() {
            Ok(answer) if answer == wanted => Ok(()),
            other => Err(format!("{other:?}, not {wanted}")),
        });
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The body of the answer to a GET request.
pub fn ask(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))?;
    Ok(body.to_owned())
}

/// An unused loopback address. A port of 127.0.0.1 could be used by any other connection.
pub fn address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    format!("127.{}.{}.{}:8080", 64 + process / 256 % 128, process % 256, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A script that records its arguments below `directory`, and then runs nginx.
pub fn watched(directory: &Path, before: &str) -> PathBuf {
    let program = directory.join("watched-nginx");
    let calls = directory.join("calls");
    let script = format!("#!/bin/sh\necho \"$1\" >> '{}'\n{before}\nexec nginx \"$@\"\n", calls.display());
    fs::write(&program, script).expect("the test owns it");
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("the test owns it");
    program
}
