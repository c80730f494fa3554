//! Counts, sentences, and the final table.

use std::collections::BTreeMap;
use std::time::Duration;

use portreeve_lab::stream::Sample;

use crate::change::Change;
use crate::screen::Screen;

/// After this many answers in a row, the first container is in service.
const IN_SERVICE: usize = 30;

/// The requests since the first container is in service. Earlier requests have to fail, and so do those that
/// nginx's old workers answer during the first reload.
fn counted(samples: &[Sample]) -> &[Sample] {
    let in_service = samples.windows(IN_SERVICE).position(|row| row.iter().all(|sample| sample.outcome.is_ok()));
    &samples[in_service.unwrap_or(samples.len())..]
}

/// The number of requests since the first container is in service, and the failed ones of them.
pub(crate) fn tally(samples: &[Sample]) -> (usize, Vec<&Sample>) {
    let counted = counted(samples);
    (counted.len(), counted.iter().filter(|sample| sample.outcome.is_err()).collect())
}

/// Which containers answered how many requests in the last second, and the reasons of failures.
pub(crate) fn last_second(samples: &[Sample]) -> String {
    let Some(newest) = samples.last() else { return "no request has ended yet".to_owned() };
    let recent = samples
        .iter()
        .rev()
        .take_while(|sample| newest.ended.duration_since(sample.ended).is_ok_and(|age| age < Duration::from_secs(1)));
    let mut counts = BTreeMap::new();
    for sample in recent {
        let key = match &sample.outcome {
            Ok(instance) => instance.name.as_str(),
            Err(reason) => reason.as_str(),
        };
        *counts.entry(key).or_insert(0) += 1;
    }
    counts.iter().map(|(key, count)| format!("{key} {count}")).collect::<Vec<_>>().join("  ")
}

/// One change as a sentence.
pub(crate) fn sentence(change: &Change) -> String {
    let mut parts = vec![change.what.clone()];
    parts.extend(change.last.map(|last| format!("last old answer {} after the stop signal", milliseconds(last))));
    parts.extend(change.first.map(|first| format!("first answer {} after Docker's start", milliseconds(first))));
    parts.join(", ")
}

/// Prints the table. Returns `true` if requests were answered and none failed.
pub(crate) fn print(screen: &Screen, changes: &[Change], samples: &[Sample]) -> bool {
    let dash = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), milliseconds);
    screen.say(&format!("\n  {:<32}{:>22}{:>22}", "change", "start to first answer", "stop to last answer"));
    for Change { what, first, last } in changes {
        screen.say(&format!("  {what:<32}{:>22}{:>22}", dash(*first), dash(*last)));
    }

    let mut served = BTreeMap::new();
    for instance in samples.iter().filter_map(|sample| sample.outcome.as_ref().ok()) {
        *served.entry(instance.name.as_str()).or_insert(0) += 1;
    }
    let served: Vec<_> = served.iter().map(|(name, count)| format!("{name} {count}")).collect();
    screen.say(&format!("\n  answers: {}", served.join(", ")));

    let (count, failed) = tally(samples);
    screen.say(&format!("  {count} requests since the first container was in service, {} failed", failed.len()));
    let mut reasons = BTreeMap::new();
    for sample in &failed {
        *reasons.entry(sample.outcome.as_ref().expect_err("it failed")).or_insert(0) += 1;
    }
    for (reason, count) in &reasons {
        screen.say(&format!("    {count} x {reason}"));
    }
    count > 0 && failed.is_empty()
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
