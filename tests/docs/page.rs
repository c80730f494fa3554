//! Markdown pages: code blocks, headings and links.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A page.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) blocks: Vec<Block>,
    /// The lines outside of code blocks, numbered from 1.
    pub(crate) prose: Vec<(usize, String)>,
}

/// A fenced code block.
pub(crate) struct Block {
    /// The text after the opening fence.
    pub(crate) info: String,
    pub(crate) text: String,
    /// The number of its first line of text.
    pub(crate) line: usize,
}

impl Block {
    pub(crate) fn language(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }

    /// The text after the language: a file name, or the language of a template's output.
    pub(crate) fn title(&self) -> &str {
        self.info.split_once(' ').map_or("", |(_, title)| title.trim())
    }
}

/// README.md and all pages below docs/.
pub(crate) fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    collect(&root.join("docs"), &mut paths);
    paths.sort();
    paths.into_iter().map(|path| Page::read(root, path)).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").path()) {
        if entry.is_dir() {
            collect(&entry, paths);
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            paths.push(entry);
        }
    }
}

impl Page {
    fn read(root: &Path, path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let (mut blocks, mut prose, mut open) = (Vec::new(), Vec::new(), None::<(Block, &str)>);
        for (number, line) in (1..).zip(text.lines()) {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            match (rest.strip_prefix("```"), &mut open) {
                (Some(info), None) => {
                    let block = Block { info: info.trim().to_owned(), text: String::new(), line: number + 1 };
                    open = Some((block, indent));
                }
                (Some(""), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (_, Some((block, indent))) => {
                    block.text.extend([line.strip_prefix(*indent).unwrap_or(line.trim_start()), "\n"]);
                }
                (None, None) => prose.push((number, line.to_owned())),
            }
        }
        assert!(open.is_none(), "{name}: a block does not end");
        Self { name, path, blocks, prose }
    }

    /// The anchors of its headings, as GitHub generates them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        let headings = self.prose.iter().filter_map(|(_, line)| {
            line.trim_start_matches('#').strip_prefix(' ').zip(line.starts_with('#').then_some(()))
        });
        for (heading, ()) in headings {
            let anchor = anchor(heading);
            let others =
                anchors.iter().filter(|other| **other == anchor || other.strip_prefix(&anchor).is_some_and(is_number));
            let count = others.count();
            anchors.push(if count == 0 { anchor } else { format!("{anchor}-{count}") });
        }
        anchors
    }
}

fn is_number(end: &str) -> bool {
    end.strip_prefix('-').is_some_and(|number| number.parse::<usize>().is_ok())
}

fn anchor(heading: &str) -> String {
    // The text of a link, without its target.
    let mut text = heading.trim().to_lowercase();
    while let Some((start, end)) = text.find("](").and_then(|at| Some((at, at + text[at..].find(')')?))) {
        text.replace_range(start..=end, "");
    }
    let kept = text.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}
