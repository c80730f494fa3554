//! Server lines of nginx: `server 10.0.0.5:32775 weight=1;`

use super::ServerSyntax;
use crate::target::Server;

/// The greatest weight that nginx accepts where its integers have 32 bits.
const MAX_WEIGHT: u32 = i32::MAX.unsigned_abs();

pub(super) const PRINTER: ServerSyntax =
    ServerSyntax { line, rejection_reason: |_| None, ending: ";", may_be_empty: false };

/// nginx refuses weight 0, so it becomes 1.
fn line(server: &Server) -> String {
    format!("{} weight={}", server.instance.endpoint(), server.weight.clamp(1, MAX_WEIGHT))
}
