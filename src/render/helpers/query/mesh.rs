//! `caRoots` and `caLeaf`: certificates of the mesh.

use serde_json::Value;

use super::{json, unfit};
use crate::{
    registry::{Answer, Query},
    render::{helpers::Call, recorder::Recorder},
};

pub(super) fn roots(_: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    match pass.ask(Query::CaRoots) {
        None => Ok(Value::Null),
        Some(Answer::CaRoots(roots)) => json(roots),
        Some(_) => Err(unfit(&Query::CaRoots)),
    }
}

pub(super) fn leaf(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let service = call.text(0)?;
    if service.is_empty() {
        return Err("the name of the service is empty".to_owned());
    }
    let query = Query::CaLeaf { service };
    match pass.ask(query.clone()) {
        None => Ok(Value::Null),
        Some(Answer::CaLeaf(leaf)) => json(leaf),
        Some(_) => Err(unfit(&query)),
    }
}
