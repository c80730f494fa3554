//! What others may know of a target.

use super::{
    Applied, ApplyError, Held, Proof, Rejection, generations,
    rendered::{Digest, Wanted},
};
use crate::core::{condition::chain, store::Store};

/// What all targets have come to, by name.
pub type Reports = Store<String, Report>;

/// What a target had come to after its last pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names the files that it has, if they are as wanted. Nothing: not all templates have rendered, or there is trouble.
    pub in_line: Option<Digest>,
    /// Names the version of the templates that made these files. `None`: there are no files, or no template made them.
    pub version: Option<Digest>,
    /// How many passes have replaced files, since the target was made.
    pub writes: u64,
    /// What it is held on to.
    pub held: Option<Held>,
    /// What keeps it from being in line.
    pub trouble: Option<String>,
    /// Why the newest files were not taken, if that is what keeps it.
    pub rejection: Option<Rejection>,
    /// The process that has taken the files, if that was proven.
    pub proven: Option<i32>,
    /// Whether no candidate is on its way that leaves out what is the cause of the trouble.
    pub is_final: bool,
}

pub(super) fn put(
    reports: &Reports,
    target: &str,
    wanted: &Wanted,
    held: Option<Held>,
    proof: Option<&Proof>,
    applied: &Result<Applied, ApplyError>,
) {
    let mut report = reports.snapshot().entries.get(target).cloned().unwrap_or_default();
    report.in_line = match applied {
        Ok(Applied::Current | Applied::Done { .. }) if wanted.complete => Some(Digest::of_files(&wanted.entries)),
        _ => None,
    };
    report.version = report.in_line.and_then(|_| generations::version(wanted));
    report.writes += u64::from(matches!(applied, Ok(Applied::Done { written, .. }) if !written.is_empty()));
    report.held = held;
    report.rejection = match applied {
        Err(ApplyError::Rejected(rejection)) => Some(rejection.clone()),
        _ => None,
    };
    // What is no candidate's fault is not searched.
    report.is_final = report.rejection.is_none() || !wanted.complete;
    report.proven = proof.and_then(|proof| proof.pid);
    report.trouble = applied.as_ref().err().map(|error| chain(error));
    reports.put(target.to_owned(), report);
}
