//! `instances`: the instances of all services in one list.

use serde_json::Value;

use super::{argument, json, service};
use crate::{
    registry::{Answer, Query, Scope, ServiceQuery, Status},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

/// Sorted by the service's name, then as `service` sorts them. Each service is one query.
pub(super) fn instances(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let scope = argument::scope(call, Scope::default())?;
    let statuses = service::selected_statuses(call)?.unwrap_or_else(|| vec![Status::Passing]);
    let tag = call.option("tag")?;
    let query = Query::Services { filter: None, scope: scope.clone() };
    let services = ask!(recorder, query, Answer::Services)?.into_iter().flatten();
    let passing = statuses == [Status::Passing];
    let mut instances = Vec::new();
    for (name, _) in services.filter(|(_, tags)| tag.as_ref().is_none_or(|tag| tags.contains(tag))) {
        let (name, tag, scope) = (name.clone(), tag.clone(), scope.clone());
        let query = Query::Service(ServiceQuery { name, tag, passing, scope, ..ServiceQuery::default() });
        // An unanswered query does not end the loop: all queries must be recorded, so that all of them are watched at
        // once.
        let records = ask!(recorder, query, Answer::Service)?.into_iter().flatten();
        instances.extend(records.filter(|record| statuses.contains(&record.status)));
    }
    json(instances)
}
