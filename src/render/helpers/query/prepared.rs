//! `prepared`: the instances that a prepared query finds.

use serde_json::Value;

use super::{argument, list, non_empty_option, require_min};
use crate::{
    registry::{Answer, Query, Scope},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

pub(super) fn prepared(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let name = call.text(0)?;
    if name.is_empty() {
        return Err("the name of the prepared query is empty".to_owned());
    }
    let query = Query::Prepared {
        name,
        near: non_empty_option(call, "near")?,
        scope: argument::scope(call, Scope::default())?,
    };
    let records = ask!(recorder, query, Answer::Service)?;
    if let Some(records) = records {
        require_min(call, recorder, &query, records.len())?;
    }
    list(records)
}
