//! The changes that a pass would make.

use std::path::PathBuf;

use similar::TextDiff;

use super::{ApplyError, Target, program::CheckVerdict};

/// The changes that a pass would make now.
#[derive(Debug, PartialEq, Eq)]
pub struct Diff {
    /// Whether all templates have rendered. If not, a pass would change no file.
    pub complete: bool,
    /// The files that would change, in the order of their paths.
    pub files: Vec<FileDiff>,
    /// The check's verdict; `None` if no file would change.
    pub check: Option<CheckVerdict>,
}

/// One file that would change.
#[derive(Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path.
    pub destination: PathBuf,
    /// A unified diff, with its two header lines.
    pub unified: String,
}

impl Target {
    /// Compares the desired files with those on the disk and checks the difference. Changes no file.
    pub async fn diff(&mut self) -> Result<Diff, ApplyError> {
        let desired = self.desired.snapshot().into();
        let observation = self.observe(&desired).await?;
        let mut files = Vec::new();
        if observation.plan_input.complete {
            for path in observation.desired.removed.iter().filter(|path| observation.present.files.contains_key(*path))
            {
                let old = String::from_utf8_lossy(observation.present.files[path].bytes());
                let unified = unified_diff(&old, "", &path.display().to_string(), "/dev/null");
                files.push(FileDiff { destination: path.clone(), unified });
            }
            for (path, wanted) in &observation.desired.files {
                let present = observation.present.files.get(path);
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
        let mut check = None;
        if !files.is_empty() {
            let scratch = self.scratch_dir().await?;
            check = Some(self.program.check(&observation.desired, scratch).await.map_err(ApplyError::Check)?.0);
        }
        Ok(Diff { complete: observation.plan_input.complete, files, check })
    }
}

/// A diff in the format of `diff -u`. `from` and `to` are the names in its header.
pub(crate) fn unified_diff(old: &str, new: &str, from: &str, to: &str) -> String {
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(from, to).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unified_diff_has_the_usual_format() {
        let diff = unified_diff("a\nb\nc\n", "a\nx\nc", "/f", "/f");
        assert_eq!(diff, "--- /f\n+++ /f\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n+x\n+c\n\\ No newline at end of file\n");
        assert_eq!(unified_diff("", "a\n", "/dev/null", "/f"), "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a\n");
    }
}
