//! Portreeve itself, on a host.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::daemon::Daemon;
use crate::host::Host;
use crate::{nginx, target_dir};

/// The configuration file of `render`.
pub const CONFIG: &str = "/etc/portreeve.toml";
/// The file that `render` writes.
pub const DESTINATION: &str = "/etc/nginx/conf.d/portreeve.conf";

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/nginx/upstreams.conf.hbs");

/// Starts `portreeve register ARGUMENTS` on a host, for its Docker and its Consul.
pub fn register(host: &Host, arguments: &[&str]) -> Arc<Daemon> {
    let program = program();
    host.spawn("register", &[&[program, "register"], arguments].concat())
}

/// Starts `portreeve render` on the balancer, with the template that ships for nginx.
pub fn render(host: &Host) -> Arc<Daemon> {
    render_template(host, TEMPLATE)
}

/// Starts `portreeve render` on the balancer, with any template.
pub fn render_template(host: &Host, template: &str) -> Arc<Daemon> {
    let config = format!(
        "[[target]]\nname = \"balancer\"\nkind = \"nginx\"\nconf = \"{}\"\n\n\
         [[target.template]]\nsource = \"{template}\"\ndestination = \"{DESTINATION}\"\n",
        nginx::CONF,
    );
    host.write(CONFIG, &config);
    host.spawn("render", &[program(), "render", "--config", CONFIG])
}

/// The program under test. Cargo builds it for integration tests of its package, and names it to them at
/// run time from 1.94 on. Older versions of Cargo put it in the same place, and so does `make demo`.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let in_profile = || target_dir::profile().join("portreeve");
        let program = env::var_os("CARGO_BIN_EXE_portreeve").map_or_else(in_profile, PathBuf::from);
        assert!(program.exists(), "{} is not built; `cargo build` or `make demo` builds it", program.display());
        program.into_os_string().into_string().expect("the path is UTF-8")
    })
}
