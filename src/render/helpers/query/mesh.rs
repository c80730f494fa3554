//! `caRoots` and `caLeaf`: certificates of the mesh.

use serde_json::Value;

use super::json;
use crate::{
    registry::{Answer, Query},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

pub(super) fn ca_roots(_: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    json(ask!(pass, Query::CaRoots, Answer::CaRoots)?)
}

pub(super) fn ca_leaf(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let service = call.text(0)?;
    if service.is_empty() {
        return Err("the name of the service is empty".to_owned());
    }
    let query = Query::CaLeaf { service };
    json(ask!(pass, query, Answer::CaLeaf)?)
}
