//! `prepared`: what a prepared query finds.

use serde_json::Value;

use super::{given, hold_below_min, json, place, unfit};
use crate::{
    registry::{Answer, Query, Scope},
    render::{helpers::Call, recorder::Recorder},
};

pub(super) fn prepared(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let name = call.text(0)?;
    if name.is_empty() {
        return Err("the name of the prepared query is empty".to_owned());
    }
    let query = Query::Prepared { name, near: given(call, "near")?, scope: place::scope(call, Scope::default())? };
    match pass.ask(query.clone()) {
        None => json([(); 0]),
        Some(Answer::Service(records)) => {
            hold_below_min(call, pass, &query, records.len())?;
            json(records)
        }
        Some(_) => Err(unfit(&query)),
    }
}
