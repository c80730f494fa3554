//! Server lines of HAProxy: `server web-1 10.0.0.5:32775 weight 1`

use super::ServerSyntax;
use crate::target::Server;

/// The greatest weight that HAProxy accepts.
const MAX_WEIGHT: u32 = 256;

/// A backend without servers is valid: HAProxy answers 503.
pub(super) const PRINTER: ServerSyntax = ServerSyntax { line, rejection_reason, ending: "", may_be_empty: true };

fn line(server: &Server) -> String {
    format!("{} {} weight {}", server.name, server.instance.endpoint(), server.weight.min(MAX_WEIGHT))
}

/// HAProxy allows few characters in the name of a server.
fn rejection_reason(server: &Server) -> Option<String> {
    let name = &server.name;
    let problem = match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c)) {
        _ if name.is_empty() => "is empty".to_owned(),
        Some(offence) => format!("holds {offence:?}"),
        None => return None,
    };
    Some(format!("{name:?} {problem}, so it cannot name a server"))
}
