//! What a pass would change.

use std::path::PathBuf;

use similar::TextDiff;

use super::{ApplyError, Target, program::CheckVerdict};

/// What a pass would do now.
#[derive(Debug, PartialEq, Eq)]
pub struct Diff {
    /// False: not all templates have rendered yet, so a pass would do nothing.
    pub complete: bool,
    /// The files that would change, in the order of their paths.
    pub files: Vec<FileDiff>,
    /// What the check says about them; nothing if no file would change.
    pub check: Option<CheckPreview>,
}

/// One file that would change.
#[derive(Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// The file.
    pub destination: PathBuf,
    /// A unified diff, with its two header lines.
    pub unified: String,
}

/// What a check says about candidates.
#[derive(Debug, PartialEq, Eq)]
pub enum CheckPreview {
    /// They would be taken.
    Accepted {
        /// What is worth knowing nevertheless.
        warnings: Vec<String>,
    },
    /// They would be refused.
    Rejected {
        /// The check's output.
        output: String,
        /// Whether that is known to depend on the contents of the files alone.
        is_permanent: bool,
    },
}

impl Target {
    /// Compares what is desired with what is there, and has the difference checked. Touches nothing.
    pub async fn diff(&mut self) -> Result<Diff, ApplyError> {
        let desired = self.desired.snapshot();
        let seen = self.observe(&desired).await?;
        let mut files = Vec::new();
        if seen.plan_input.complete {
            for path in seen.desired.removed.iter().filter(|path| seen.present.files.contains_key(*path)) {
                let old = String::from_utf8_lossy(seen.present.files[path].bytes());
                let unified = unified_diff(&old, "", &path.display().to_string(), "/dev/null");
                files.push(FileDiff { destination: path.clone(), unified });
            }
            for (path, wanted) in &seen.desired.files {
                let present = seen.present.files.get(path);
                if present != Some(wanted) {
                    let (old, new) = (present.map_or(&[][..], |present| present.bytes()), wanted.bytes());
                    let name = path.display().to_string();
                    let from = if present.is_some() { &name } else { "/dev/null" };
                    let unified =
                        unified_diff(&String::from_utf8_lossy(old), &String::from_utf8_lossy(new), from, &name);
                    files.push(FileDiff { destination: path.clone(), unified });
                }
            }
        }
        files.sort_by(|one, other| one.destination.cmp(&other.destination));
        let opinion = if files.is_empty() {
            None
        } else {
            let scratch = self.scratch_dir().await?;
            let verdict = self.program.check(&seen.desired, scratch).await.map_err(ApplyError::Check)?;
            Some(match verdict {
                CheckVerdict::Accepted { warnings, .. } => CheckPreview::Accepted { warnings },
                CheckVerdict::Rejected { output, is_permanent: certain, .. } => {
                    CheckPreview::Rejected { output, is_permanent: certain }
                }
            })
        };
        Ok(Diff { complete: seen.plan_input.complete, files, check: opinion })
    }
}

/// As `diff -u` has it; `from` and `to` are its titles.
pub(crate) fn unified_diff(old: &str, new: &str, from: &str, to: &str) -> String {
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(from, to).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unified_diff_as_everybody_knows_it() {
        let diff = unified_diff("a\nb\nc\n", "a\nx\nc", "/f", "/f");
        assert_eq!(diff, "--- /f\n+++ /f\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n+x\n+c\n\\ No newline at end of file\n");
        assert_eq!(unified_diff("", "a\n", "/dev/null", "/f"), "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a\n");
    }
}
