//! `file`: the content of a file on this host.

use serde_json::Value;

use super::wrong_answer_message;
use crate::{
    registry::{Answer, FileContent, Query},
    render::{
        helpers::HelperCall,
        recorder::{MissingInput, QueryRecorder},
    },
};

/// A file that does not exist holds the template. Whether it may be read is for the source to say.
pub(super) fn file(call: &HelperCall<'_, '_>, pass: &QueryRecorder<'_>) -> Result<Value, String> {
    let path = call.text(0)?;
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    let query = Query::File { path: (&path).into() };
    let text = match pass.ask(query.clone()) {
        None => "",
        Some(Answer::File(FileContent::Text(text))) => text,
        Some(Answer::File(FileContent::Missing)) => {
            pass.add_missing(query, MissingInput::File);
            ""
        }
        Some(Answer::File(FileContent::Refused(reason))) => return Err(format!("{path:?}: {reason}")),
        Some(_) => return Err(wrong_answer_message(&query)),
    };
    Ok(Value::String(text.to_owned()))
}
