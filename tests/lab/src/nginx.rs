//! nginx on the balancer.

use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::host::Host;
use crate::wait::{LONG, wait_until};

/// The main configuration file. It includes `CONF_D`, which is empty at first: nginx listens on no port then.
pub const CONF: &str = "/etc/nginx/nginx.conf";
/// The directory of the included files.
pub const CONF_D: &str = "/etc/nginx/conf.d";
/// The file with the process number of the master.
pub const PID_FILE: &str = "/run/nginx.pid";

const MAIN: &str = "\
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events {
    worker_connections 1024;
}
http {
    log_format lab '$msec $status $request_method $host$request_uri to $upstream_addr $upstream_status $request_time';
    access_log /var/log/nginx/access.log lab;
    include /etc/nginx/conf.d/*.conf;
}
";

/// The balancer's nginx.
pub struct Nginx {
    host: Arc<Host>,
    daemon: Arc<Daemon>,
}

impl Nginx {
    pub(crate) fn up(host: &Arc<Host>) -> Self {
        host.write(CONF, MAIN);
        host.run(&["mkdir", "-p", CONF_D]);
        let daemon = host.spawn("nginx", &["nginx", "-g", "daemon off;"]);
        let nginx = Self { host: Arc::clone(host), daemon };
        nginx.wait();
        nginx
    }

    /// The master process. After a restart, call `wait`.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Waits until nginx is running.
    pub fn wait(&self) {
        wait_until("nginx", LONG, || {
            assert!(self.daemon.running(), "nginx has ended: {}", self.daemon.log());
            let pid = std::fs::read_to_string(self.host.outside(PID_FILE)).unwrap_or_default();
            if pid.trim().is_empty() { Err("no pid file") } else { Ok(()) }
        });
    }

    /// Writes a file of `CONF_D` and reloads nginx. Panics if nginx refuses the file.
    pub fn configure(&self, file: &str, content: &str) {
        self.host.write(&format!("{CONF_D}/{file}"), content);
        self.host.run(&["nginx", "-t", "-q"]);
        self.daemon.signal(Signal::SIGHUP);
    }

    /// The whole configuration, as `nginx -T` prints it.
    pub fn configuration(&self) -> String {
        self.host.run(&["nginx", "-T", "-q"])
    }

    /// The number of reloads so far.
    pub fn reloads(&self) -> usize {
        self.host.read("/var/log/nginx/error.log").matches("reconfiguring").count()
    }
}
