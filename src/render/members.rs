//! The instances that a file was rendered from, for debouncing and the log. Pure.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    registry::{Answer, ServiceRecord},
    target::{Member, Upstream},
};

impl From<&ServiceRecord> for Member {
    fn from(record: &ServiceRecord) -> Self {
        Self {
            service: record.name.clone(),
            node: record.node.clone(),
            id: record.id.clone(),
            address: record.address.clone(),
            port: record.port,
        }
    }
}

/// The healthy instances in `answers` of all services that have no upstream. The template formats them itself, so it is
/// not known which of them are in the file.
pub(super) fn instances_without_upstream<'a>(
    answers: impl Iterator<Item = &'a Arc<Answer>>,
    upstreams: &[Upstream],
) -> BTreeSet<Member> {
    let covered: BTreeSet<_> = upstreams.iter().flat_map(|upstream| &upstream.services).collect();
    let records = answers.flat_map(|answer| match &**answer {
        Answer::Service(records) => &records[..],
        _ => &[],
    });
    records.filter(|record| record.healthy && !covered.contains(&record.name)).map(Member::from).collect()
}
