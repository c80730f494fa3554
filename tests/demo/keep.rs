//! A lab that outlives the demo.
//!
//! A lab stands for as long as somebody holds the pipe of its sweeper. With `--keep` that is a process
//! of its own, `demo hold RUN`: the pipe is its standard output. It also forwards two ports of this
//! machine, since 192.168.50.x can be seen only inside the lab. When it ends, the lab goes.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::lab::Lab;
use crate::common::lab::enter::in_network;
use crate::common::lab::run;
use crate::common::lab::wait::{LONG, wait_until};
use crate::screen::Screen;

/// What is forwarded: the port that is tried first on this machine, and where it leads in the lab.
const FORWARDS: [(u16, SocketAddr); 2] = [
    (8080, SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 168, 50, 103)), 80)),
    (8500, SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 168, 50, 101)), 8500)),
];

/// Hands the lab over to a holder, and says how to look around and how to end it.
#[expect(clippy::zombie_processes, reason = "the holder outlives us")]
pub fn leave_standing(lab: Lab, screen: &Screen) {
    let (directory, name) = (lab.run().directory().to_owned(), lab.run().name().to_owned());
    let hosts = [1, 2, 3].map(|number| lab.host(number).init());
    let program = std::env::current_exe().expect("/proc is there");
    let log = fs::File::create(directory.join("holder.log")).expect("the run's directory is ours");
    let holder = Command::new("setsid")
        .arg(&program)
        .arg("hold")
        .arg(&directory)
        .stdin(Stdio::null())
        .stdout(lab.keep())
        .stderr(log)
        .spawn();
    holder.unwrap_or_else(|e| panic!("cannot start the process that holds the lab: {e}"));
    let holder = wait_until("the process that holds the lab", LONG, || {
        Holder::read(&directory).ok_or_else(|| fs::read_to_string(directory.join("holder.log")).unwrap_or_default())
    });
    let [balancer, consul] = holder.ports;
    screen.say(&format!(
        "
The hosts are left standing. From this machine:
  balancer    http://127.0.0.1:{balancer}/
  Consul      http://127.0.0.1:{consul}/ui/

Look around as root:
  containers  nsenter --target {h1} --all docker ps
  nginx       nsenter --target {h3} --all nginx -T
  registry    nsenter --target {h3} --all consul catalog services
  one more    nsenter --target {h2} --all docker run -d -P -e SERVICE_NAME=web portreeve-app:v1
  a client    ip netns exec {name}-sw curl http://192.168.50.103/
  logs        {logs}/host-N/log/

Take them down:
  {program} down",
        h1 = hosts[0],
        h2 = hosts[1],
        h3 = hosts[2],
        logs = directory.display(),
        program = program.display(),
    ));
}

/// Holds the lab and forwards its ports until it is killed.
pub fn hold(directory: &Path) -> ExitCode {
    let network = run::network(directory, "sw");
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
    Holder { pid: std::process::id(), ports }.write(directory).expect("the run's directory is ours");
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

/// Passes on what comes until it ends, and the end.
fn pass(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let passed = io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)?;
    passed.map(|_| ())
}

/// Ends every holder and waits until its lab is gone.
pub fn down() -> ExitCode {
    let mut count = 0;
    for directory in run::all() {
        let Some(holder) = Holder::read(&directory) else { continue };
        println!("taking down {}", directory.display());
        holder.end(&directory);
        wait_until(&format!("the end of {}", directory.display()), LONG, || {
            if directory.exists() { Err("it is still there") } else { Ok(()) }
        });
        count += 1;
    }
    if count == 0 {
        println!("nothing is standing");
    }
    ExitCode::SUCCESS
}

/// Who holds a run; written to its directory.
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

    /// Ends the process, if that number is still its own.
    fn end(&self, directory: &Path) {
        let command_line = fs::read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if command_line.contains(&directory.display().to_string()) {
            let pid = Pid::from_raw(i32::try_from(self.pid).expect("process numbers are small"));
            kill(pid, Signal::SIGTERM).unwrap_or_else(|e| panic!("cannot end the process {pid}: {e}"));
        }
    }
}
