//! `service`: the instances of one service.

use serde_json::Value;

use crate::render::helpers::Call;
use crate::{
    registry::{Answer, Query, Scope, ServiceQuery, Status},
    render::recorder::Recorder,
};

/// What is asked for: a query, and the statuses that are kept of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    name: String,
    tag: Option<String>,
    dc: Option<String>,
    /// Empty: passing ones only.
    statuses: Vec<Status>,
}

const ANY: [Status; 4] = [Status::Passing, Status::Warning, Status::Critical, Status::Maintenance];

pub(super) fn service(call: &Call<'_, '_>, pass: &Recorder<'_>) -> Result<Value, String> {
    let wanted = wanted(call)?;
    // As in consul-template: no name, no question.
    if wanted.name.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    let statuses = if wanted.statuses.is_empty() { vec![Status::Passing] } else { wanted.statuses };
    let passing = statuses == [Status::Passing];
    let scope = Scope { dc: wanted.dc, ..Scope::default() };
    let query = ServiceQuery { name: wanted.name, tag: wanted.tag, passing, scope, ..ServiceQuery::default() };
    let query = Query::Service(query);
    let Some(answer) = pass.ask(query) else { return Ok(Value::Array(Vec::new())) };
    let Answer::Service(records) = answer else { return Err("the registry's answer is no list of instances".into()) };
    let kept = records.iter().filter(|record| statuses.contains(&record.status));
    kept.map(serde_json::to_value).collect::<Result<_, _>>().map(Value::Array).map_err(|error| error.to_string())
}

fn wanted(call: &Call<'_, '_>) -> Result<Wanted, String> {
    let mut wanted = match (call.option("name")?, call.literal(0)) {
        (Some(_), _) if call.len() > 0 => return Err("the name is given twice".to_owned()),
        (Some(name), _) => Wanted { name, ..Wanted::default() },
        // Only what the author wrote is grammar; what comes from a registry is a name, whatever it holds.
        (None, Some(literal)) if literal.contains(['@', '|', '~', '?']) => parse(literal)?,
        (None, _) => Wanted { name: call.text(0)?, ..Wanted::default() },
    };
    wanted.tag = call.option("tag")?.or(wanted.tag);
    wanted.dc = call.option("dc")?.or(wanted.dc);
    if let Some(list) = call.option("status")? {
        wanted.statuses = statuses(&list)?;
    }
    if call.flag("any")? {
        wanted.statuses = ANY.to_vec();
    }
    Ok(wanted)
}

/// Reads consul-template's `tag.name?options@dc~near|filter`.
fn parse(text: &str) -> Result<Wanted, String> {
    let (rest, filter) = split(text, '|');
    let (rest, near) = split(rest, '~');
    let (rest, dc) = split(rest, '@');
    let (subject, options) = split(rest, '?');
    for (mark, given) in [('~', near), ('?', options)] {
        if given.is_some() {
            return Err(format!("`{mark}` in {text:?} is not supported"));
        }
    }
    if dc == Some("") {
        return Err(format!("`@` in {text:?} must be followed by a datacenter"));
    }
    // The tag may hold dots, the name not: a name with dots is given alone, or as name=.
    let (tag, name) = match subject.rsplit_once('.') {
        Some((tag, name)) => (Some(tag.to_owned()), name),
        None => (None, subject),
    };
    if name.is_empty() || tag.as_deref() == Some("") {
        return Err(format!("{text:?} must begin with `name` or `tag.name`"));
    }
    let statuses = filter.map(statuses).transpose()?.unwrap_or_default();
    Ok(Wanted { name: name.to_owned(), tag, dc: dc.map(str::to_owned), statuses })
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Reads `passing,warning` and the like. In order and without doubles, so that equal filters are equal.
fn statuses(list: &str) -> Result<Vec<Status>, String> {
    let mut statuses = Vec::new();
    for word in list.split(',') {
        match word.trim() {
            "any" => statuses.extend(ANY),
            "passing" => statuses.push(Status::Passing),
            "warning" => statuses.push(Status::Warning),
            "critical" => statuses.push(Status::Critical),
            "maintenance" => statuses.push(Status::Maintenance),
            other => {
                return Err(format!("{other:?} is no status: any, passing, warning, critical or maintenance"));
            }
        }
    }
    statuses.sort();
    statuses.dedup();
    Ok(statuses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, tag: Option<&str>, dc: Option<&str>, statuses: &[Status]) -> Result<Wanted, String> {
        let [tag, dc] = [tag, dc].map(|text| text.map(str::to_owned));
        Ok(Wanted { name: name.to_owned(), tag, dc, statuses: statuses.to_vec() })
    }

    #[test]
    fn reads_the_grammar_of_consul_template() {
        assert_eq!(parse("v1.web@dc2|any"), parsed("web", Some("v1"), Some("dc2"), &ANY));
        assert_eq!(parse("a.b.web|passing"), parsed("web", Some("a.b"), None, &[Status::Passing]));
        assert_eq!(parse("web@dc2"), parsed("web", None, Some("dc2"), &[]));
        let both = parsed("web", None, None, &[Status::Passing, Status::Warning]);
        assert_eq!((parse("web|passing,warning"), parse("web|warning,passing")), (both.clone(), both));
    }

    #[test]
    fn says_what_is_wrong_with_the_rest() {
        for text in ["web~_agent", "web?ns=a", "web@", "web|healthy", "@dc2", ".web|any", "web|"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(text) || error.contains("status"), "{error}");
        }
    }
}
