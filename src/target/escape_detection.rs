//! Finds the language of files that neither the settings nor the file name determine: files that an nginx on this host
//! includes are nginx configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{Escape, Settings, TargetKind, files, nginx, settings};
use crate::core::condition::error_chain;

/// The time limit of `nginx -V`. On a host without nginx it fails immediately.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets `escape` of the files whose language is not known otherwise. An nginx that does not exist, or whose
/// configuration cannot be read, counts as including no file.
///
/// Blocks while `nginx -V` runs.
pub fn detect_escapes(targets: &mut [Settings]) {
    let paths = |target: &Settings| {
        let unknown = target.templates.iter().filter(|template| target.known_escape(template).is_none());
        unknown.filter_map(|template| std::path::absolute(&template.destination).ok()).collect::<Vec<_>>()
    };
    let unknown: BTreeSet<PathBuf> = targets.iter().flat_map(paths).collect();
    if unknown.is_empty() {
        return;
    }
    let included = included_paths(nginx_settings(targets), &unknown);
    for target in targets {
        let escape = |template: &settings::TemplateSettings| {
            let is_included = std::path::absolute(&template.destination).is_ok_and(|path| included.contains(&path));
            target.known_escape(template).is_none().then_some(if is_included { Escape::Nginx } else { Escape::None })
        };
        let found: Vec<_> = target.templates.iter().map(escape).collect();
        for (template, found) in target.templates.iter_mut().zip(found) {
            template.escape = template.escape.or(found);
        }
    }
}

/// The nginx of each target, and the one on PATH.
fn nginx_settings(targets: &[Settings]) -> Vec<settings::NginxSettings> {
    let mut all = vec![settings::NginxSettings::default()];
    for target in targets {
        if let TargetKind::Nginx(nginx) = &target.kind
            && !all.contains(nginx)
        {
            all.push(nginx.clone());
        }
    }
    all.iter_mut().for_each(|nginx| nginx.check_timeout = nginx.check_timeout.min(VERSION_TIMEOUT));
    all
}

/// The `paths` that at least one of these configurations includes.
fn included_paths(all_settings: Vec<settings::NginxSettings>, paths: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let texts: BTreeMap<_, _> = paths.iter().map(|path| (path.clone(), present_text(path))).collect();
    let included = async {
        let mut paths = BTreeSet::new();
        for settings in all_settings {
            match nginx::NginxProgram::new(settings).includes(&texts).await {
                Ok(included) => paths.extend(included),
                Err(error) => tracing::debug!("the files that nginx includes are not known: {}", error_chain(&error)),
            }
        }
        paths
    };
    let run = || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(included),
        Err(error) => {
            tracing::debug!("the files that nginx includes are not known: {error}");
            BTreeSet::new()
        }
    };
    // On its own thread: a second runtime can be neither entered nor dropped within a task of another one.
    let result = thread::scope(|scope| scope.spawn(run).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The present content of a file, which may itself include others; empty if it cannot be read.
fn present_text(path: &Path) -> Vec<u8> {
    files::read(path, settings::SymlinkPolicy::Follow).ok().flatten().map(|present| present.bytes).unwrap_or_default()
}
