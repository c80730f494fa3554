//! Links within the repository.

use std::{fs, path::Path};

use super::page::Page;

pub(crate) fn problems(page: &Page, pages: &[Page]) -> Vec<(usize, String)> {
    let links = page.prose.iter().flat_map(|(line, text)| targets(text).into_iter().map(|target| (*line, target)));
    links.filter_map(|(line, target)| Some((line, problem(page, pages, &target)?))).collect()
}

fn problem(page: &Page, pages: &[Page], target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let directory = page.path.parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() { page.path.clone() } else { directory.join(file) };
    let Ok(path) = fs::canonicalize(&path) else { return Some(format!("({target}) leads to no file")) };
    let anchor = anchor?;
    let linked = pages.iter().find(|page| fs::canonicalize(&page.path).is_ok_and(|page| page == path));
    match linked {
        Some(linked) if linked.anchors().iter().any(|known| known == anchor) => None,
        Some(linked) => Some(format!("({target}): {} has no heading #{anchor}", linked.name)),
        None => Some(format!("({target}) has an anchor, and is no page")),
    }
}

/// The targets of `[text](target)` and `[name]: target` in a line, outside of code.
fn targets(line: &str) -> Vec<String> {
    // Every second part is inline code.
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    if let Some((_, target)) = plain.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        return vec![target.trim().to_owned()];
    }
    let parts = plain.split("](").skip(1);
    parts.filter_map(|part| Some(part.split_once(')')?.0.split_whitespace().next()?.to_owned())).collect()
}
