//! A lab that continues after the demo.
//!
//! A lab runs until the pipe to its `sweep.sh` is closed. With `--keep`, the process `demo hold RUN` has
//! the pipe as its standard output. It also forwards two ports of this machine, since 192.168.50.x is
//! reachable only inside the lab. When the process ends, the lab is removed.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portreeve_lab::Lab;
use portreeve_lab::namespace::in_network;
use portreeve_lab::run;
use portreeve_lab::wait::{LONG, wait_until};

use crate::screen::Screen;

/// Forwarded ports: the preferred port on this machine, and the address in the lab.
const FORWARDS: [(u16, SocketAddr); 2] = [
    (8080, SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 168, 50, 103)), 80)),
    (8500, SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 168, 50, 101)), 8500)),
];

/// Passes the lab to a `demo hold` process, and prints how to use the lab and how to remove it.
#[expect(clippy::zombie_processes, reason = "the process continues after us")]
pub(crate) fn leave_running(lab: Lab, screen: &Screen) {
    let (directory, name) = (lab.run().directory().to_owned(), lab.run().name().to_owned());
    let hosts = [1, 2, 3].map(|number| lab.host(number).init());
    let program = std::env::current_exe().expect("/proc is mounted");
    let log = fs::File::create(directory.join("holder.log")).expect("the run's directory is writable");
    let holder = Command::new("setsid")
        .arg(&program)
        .arg("hold")
        .arg(&directory)
        .stdin(Stdio::null())
        .stdout(lab.detach())
        .stderr(log)
        .spawn();
    holder.unwrap_or_else(|e| panic!("cannot start the process that keeps the lab open: {e}"));
    let holder = wait_until("the process that keeps the lab open", LONG, || {
        Holder::read(&directory).ok_or_else(|| fs::read_to_string(directory.join("holder.log")).unwrap_or_default())
    });
    let [balancer, consul] = holder.ports;
    screen.say(&format!(
        "
The hosts keep running. From this machine:
  balancer    http://127.0.0.1:{balancer}/
  Consul      http://127.0.0.1:{consul}/ui/

As root:
  containers  nsenter --target {h1} --all docker ps
  nginx       nsenter --target {h3} --all nginx -T
  registry    nsenter --target {h3} --all consul catalog services
  one more    nsenter --target {h2} --all docker run -d -P -e SERVICE_NAME=web portreeve-app:v1
  a client    ip netns exec {name}-bridge curl http://192.168.50.103/
  logs        {logs}/host-N/log/

Remove them:
  {program} down",
        h1 = hosts[0],
        h2 = hosts[1],
        h3 = hosts[2],
        logs = directory.display(),
        program = program.display(),
    ));
}

/// Keeps the lab open and forwards its ports until the process is killed.
pub(crate) fn hold(directory: &Path) -> ExitCode {
    let network = run::network(directory, "bridge");
    let ports = FORWARDS.map(|(port, to)| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("some port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let network = network.clone();
        thread::spawn(move || {
            for from in listener.incoming().filter_map(Result::ok) {
                let network = network.clone();
                thread::spawn(move || forward(&from, to, &network));
            }
        });
        port
    });
    Holder { pid: std::process::id(), ports }.write(directory).expect("the run's directory is writable");
    loop {
        thread::park();
    }
}

fn forward(from: &TcpStream, to: SocketAddr, network: &Path) -> io::Result<()> {
    let to = in_network(network, || TcpStream::connect(to))?;
    thread::scope(|scope| {
        scope.spawn(|| pass(from, &to));
        pass(&to, from)
    })
}

/// Copies bytes until the end of `from`, and passes the end on.
fn pass(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let passed = io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)?;
    passed.map(|_| ())
}

/// Ends every `demo hold` process and waits until its lab is removed.
pub(crate) fn down() -> ExitCode {
    let mut count = 0;
    for directory in run::all() {
        let Some(holder) = Holder::read(&directory) else { continue };
        println!("removing {}", directory.display());
        holder.end(&directory);
        wait_until(&format!("the removal of {}", directory.display()), LONG, || {
            if directory.exists() { Err("the directory still exists") } else { Ok(()) }
        });
        count += 1;
    }
    if count == 0 {
        println!("no demo is running");
    }
    ExitCode::SUCCESS
}

/// The process that keeps a run open, as noted in the run's directory.
struct Holder {
    pid: u32,
    ports: [u16; 2],
}

impl Holder {
    fn file(directory: &Path) -> PathBuf {
        directory.join("holder")
    }

    fn read(directory: &Path) -> Option<Self> {
        let text = fs::read_to_string(Self::file(directory)).ok()?;
        let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [pid, balancer, consul] = numbers[..] else { return None };
        Some(Self { pid, ports: [balancer.try_into().ok()?, consul.try_into().ok()?] })
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        let [balancer, consul] = self.ports;
        let new = directory.join("holder.new");
        fs::write(&new, format!("{} {balancer} {consul}\n", self.pid))?;
        fs::rename(new, Self::file(directory))
    }

    /// Ends the process, unless another process has its number by now.
    fn end(&self, directory: &Path) {
        let command_line = fs::read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if command_line.contains(&directory.display().to_string()) {
            let pid = Pid::from_raw(i32::try_from(self.pid).expect("process numbers are small"));
            kill(pid, Signal::SIGTERM).unwrap_or_else(|e| panic!("cannot end the process {pid}: {e}"));
        }
    }
}
