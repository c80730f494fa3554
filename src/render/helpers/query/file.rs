//! `file`: the content of a file on this host.

use serde_json::Value;

use crate::{
    registry::{Answer, FileContent, Query},
    render::{
        helpers::HelperCall,
        recorder::{MissingInput, QueryRecorder},
    },
};

/// The template is not rendered while the file does not exist. The source decides which files may be read.
pub(super) fn file(call: &HelperCall<'_, '_>, recorder: &QueryRecorder<'_>) -> Result<Value, String> {
    let path = call.text(0)?;
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    let query = Query::File { path: (&path).into() };
    let text = match ask!(recorder, query, Answer::File)? {
        None => "",
        Some(FileContent::Text(text)) => text,
        Some(FileContent::Missing) => {
            recorder.add_missing(query, MissingInput::File);
            ""
        }
        Some(FileContent::Refused(reason)) => return Err(format!("{path:?}: {reason}")),
    };
    Ok(Value::String(text.to_owned()))
}
