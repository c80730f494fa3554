//! `caRoots` and `caLeaf`: certificates of the service mesh.

use serde_json::Value;

use super::json;
use crate::{
    registry::{Answer, Query},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

pub(super) fn ca_roots(_: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    json(ask!(recorder, Query::CaRoots, Answer::CaRoots)?)
}

pub(super) fn ca_leaf(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let service = call.text(0)?;
    if service.is_empty() {
        return Err("the name of the service is empty".to_owned());
    }
    let query = Query::CaLeaf { service };
    json(ask!(recorder, query, Answer::CaLeaf)?)
}
