//! Portreeve itself, on a host.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::daemon::Daemon;
use super::host::Host;
use super::{logs, nginx};

/// The file that `render` starts from.
pub const CONFIG: &str = "/etc/portreeve.toml";
/// The file that `render` writes.
pub const DESTINATION: &str = "/etc/nginx/conf.d/portreeve.conf";

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/nginx/upstreams.conf.hbs");

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

/// The program under test. Cargo names it to tests; the demo has it beside itself.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let beside = || logs::profile().join("portreeve");
        let program = option_env!("CARGO_BIN_EXE_portreeve").map_or_else(beside, PathBuf::from);
        assert!(program.exists(), "{} is not built: `make demo` does that", program.display());
        program.into_os_string().into_string().expect("the path is text")
    })
}
