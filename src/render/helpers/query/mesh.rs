//! `caRoots` and `caLeaf`: certificates of the mesh.

use serde_json::Value;

use super::{json, wrong_answer_message};
use crate::{
    registry::{Answer, Query},
    render::{helpers::HelperCall, recorder::QueryRecorder},
};

pub(super) fn ca_roots(_: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    match pass.ask(Query::CaRoots) {
        None => Ok(Value::Null),
        Some(Answer::CaRoots(roots)) => json(roots),
        Some(_) => Err(wrong_answer_message(&Query::CaRoots)),
    }
}

pub(super) fn ca_leaf(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let service = call.text(0)?;
    if service.is_empty() {
        return Err("the name of the service is empty".to_owned());
    }
    let query = Query::CaLeaf { service };
    match pass.ask(query.clone()) {
        None => Ok(Value::Null),
        Some(Answer::CaLeaf(leaf)) => json(leaf),
        Some(_) => Err(wrong_answer_message(&query)),
    }
}
