//! An nginx on this host: `nginx -t` on a staged copy, SIGHUP to the master, proof by its workers.

mod binary;
mod complaint;
mod conf;
mod glob;
mod master;
mod stage;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use self::{
    binary::{Binary, Place},
    master::{Children, Master},
    stage::Staged,
    tree::Tree,
};
use super::{
    Candidate, files,
    process::Absent,
    program::{CheckError, ReloadError, Sent, Verdict},
    rendered::{Digest, Rendered},
    run, settings,
};
use crate::sys::blocking::blocking;

pub use master::ReloadFailure;

/// How much of the error log is looked at after a reload that did not take, in bytes.
const LOG: u64 = 64 * 1024;

/// One nginx, as its settings describe it.
#[derive(Debug)]
pub(super) struct Nginx {
    settings: settings::Nginx,
    /// What the program said when it was asked first.
    facts: Option<Arc<Facts>>,
    /// Where the master's pid stood when that was last looked up.
    pid_file: Option<PathBuf>,
}

#[derive(Debug)]
struct Facts {
    binary: Binary,
    place: Place,
}

/// A running nginx.
struct Found {
    master: Master,
    pid_file: PathBuf,
    log: Log,
}

/// A reload under way.
#[derive(Debug)]
pub(super) struct Pending {
    master: Master,
    before: Children,
    log: Log,
    limit: Duration,
}

impl Pending {
    /// The process that was told.
    pub(super) fn pid(&self) -> i32 {
        self.master.pid()
    }

    /// Waits until new workers have taken over.
    pub(super) async fn verify(self) -> Result<(), ReloadError> {
        let Self { master, before, log, limit } = self;
        let waited = master.wait(before, limit).await;
        waited.map_err(|failure| ReloadError::Nginx { failure, log: log.complaints(master.pid()) })
    }
}

impl Nginx {
    pub(super) fn new(settings: settings::Nginx) -> Self {
        Self { settings, facts: None, pid_file: None }
    }

    /// Names all that `nginx -t` would read.
    pub(super) async fn inputs(&mut self, candidate: &Arc<Candidate>) -> Result<Digest, CheckError> {
        Ok(self.read(candidate).await?.digest())
    }

    /// The `files` that the configuration would include if they had these texts.
    pub(super) async fn includes(
        &mut self,
        files: &BTreeMap<PathBuf, Vec<u8>>,
    ) -> Result<BTreeSet<PathBuf>, CheckError> {
        let files = files.iter().map(|(path, text)| (path.clone(), Arc::new(Rendered::new(text.as_slice()))));
        let candidate = Arc::new(Candidate { files: files.collect(), ..Candidate::default() });
        let tree = self.read(&candidate).await?;
        Ok(tree.nodes.into_values().filter_map(|node| node.candidate).collect())
    }

    pub(super) async fn check(&mut self, candidate: &Arc<Candidate>, scratch: TempDir) -> Result<Verdict, CheckError> {
        let facts = self.facts().await?;
        let tree = self.read(candidate).await?;
        let inputs = tree.digest();
        let has_pid_file = tree.pid_file.is_some();
        let place = facts.place.clone();
        let (staged, tree) = blocking(move || (Staged::new(&place, &tree, scratch), tree)).await;
        let staged = staged.map_err(CheckError::Stage)?;
        let args = arguments(&facts, &staged, has_pid_file);
        let ended = run::run(&self.settings.binary, &args, self.settings.check_timeout).await?;
        let output = complaint::quote(&staged.translate(&ended.output), &tree);
        blocking(move || drop(staged)).await;
        Ok(match ended.status.success() {
            true => {
                let blind = tree.unreached.iter().map(|path| {
                    format!("{} is not part of {}: no include leads to it", path.display(), facts.place.conf.display())
                });
                let warnings = output.lines().map(str::to_owned);
                Verdict::Good { inputs, warnings: blind.chain(warnings).collect() }
            }
            false => {
                let certain = ended.status.code().is_some() && complaint::is_certain(&output);
                Verdict::Refused { inputs, certain, output: ended.described(&["nginx", "-t"], &output) }
            }
        })
    }

    /// Who would be told, if anybody.
    pub(super) async fn absent(&mut self) -> Result<Option<Absent>, ReloadError> {
        Ok(self.find().await?.err())
    }

    pub(super) async fn reload(&mut self) -> Result<Sent, ReloadError> {
        let Found { master, pid_file, log } = match self.find().await? {
            Ok(found) => found,
            Err(absent) => return Ok(Sent::NotRunning(absent)),
        };
        let before = master.children()?;
        if !master.hang_up()? {
            return Ok(Sent::NotRunning(Absent::Ended { file: pid_file, pid: master.pid() }));
        }
        tracing::debug!("SIGHUP sent to nginx's master, process {}", master.pid());
        Ok(Sent::Pending(Pending { master, before, log, limit: self.settings.reload_timeout }))
    }

    /// Why the process is not the master any more; `None` if it is, or if nobody can tell.
    pub(super) async fn replaced(&mut self, pid: i32) -> Option<Absent> {
        match self.find().await.ok()? {
            Ok(Found { master, pid_file, .. }) if master.pid() != pid => Some(Absent::Ended { file: pid_file, pid }),
            Ok(_) => None,
            Err(absent) => Some(absent),
        }
    }

    /// Where the master's pid stands, as far as that is known.
    pub(super) fn pid_file(&self) -> Option<&Path> {
        self.pid_file.as_deref()
    }

    /// Names the master: two targets with the same one share it.
    pub(super) async fn key(&mut self) -> Result<String, CheckError> {
        let tree = self.read(&Arc::default()).await?;
        let file = self.locate(&tree).await?;
        Ok(blocking(move || files::follow(&file).unwrap_or(file)).await.display().to_string())
    }

    async fn locate(&mut self, tree: &Tree) -> Result<PathBuf, CheckError> {
        let facts = self.facts().await?;
        let pid_file = self.settings.pid_file.as_ref().or(tree.pid_file.as_ref()).unwrap_or(&facts.binary.pid_file);
        Ok(self.pid_file.insert(facts.place.prefix.join(pid_file)).clone())
    }

    async fn find(&mut self) -> Result<Result<Found, Absent>, ReloadError> {
        let facts = self.facts().await.map_err(ReloadError::Find)?;
        let tree = self.read(&Arc::default()).await.map_err(ReloadError::Find)?;
        let pid_file = self.locate(&tree).await.map_err(ReloadError::Find)?;
        let error_log = tree.error_log.as_ref().unwrap_or(&facts.binary.error_log);
        let error_log = facts.place.prefix.join(error_log);
        Ok(Master::find(&pid_file)?.map(|master| Found { master, pid_file, log: Log::open(error_log) }))
    }

    async fn facts(&mut self) -> Result<Arc<Facts>, CheckError> {
        if let Some(facts) = &self.facts {
            return Ok(Arc::clone(facts));
        }
        let ended = run::run(&self.settings.binary, &["-V"], self.settings.check_timeout).await?;
        if !ended.status.success() {
            return Err(CheckError::NotNginx { program: self.settings.binary.clone(), output: ended.output });
        }
        let binary = Binary::parse(&ended.output);
        let place = Place::new(&binary, self.settings.prefix.as_deref(), self.settings.conf.as_deref());
        Ok(Arc::clone(self.facts.insert(Arc::new(Facts { binary, place }))))
    }

    async fn read(&mut self, candidate: &Arc<Candidate>) -> Result<Tree, CheckError> {
        let (facts, candidate) = (self.facts().await?, Arc::clone(candidate));
        blocking(move || {
            Tree::read(&facts.place, &candidate)
                .map_err(|source| CheckError::Read { path: facts.place.conf.clone(), source })
        })
        .await
    }
}

/// The test reads the copies and leaves no trace: neither a pid file (`nginx -t` makes an empty one where there is none)
/// nor a line in the log that the program was built with.
fn arguments(facts: &Facts, staged: &Staged, has_pid_file: bool) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-t", "-q", "-c"].map(OsString::from).into();
    args.extend([staged.main.as_os_str().into(), "-p".into(), facts.place.prefix.as_os_str().into()]);
    if facts.binary.knows_error_log {
        args.extend(["-e".into(), "/dev/null".into()]);
    }
    if !has_pid_file {
        let word = String::from_utf8_lossy(&stage::word(&staged.pid_file)).into_owned();
        args.extend(["-g".into(), format!("pid {word};").into()]);
    }
    args
}

/// nginx's error log, from the moment of a reload on. It is the only place where nginx says why it refused.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    fn open(path: PathBuf) -> Self {
        let from = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, from }
    }

    /// What a process has complained about since then; empty if there is no such file, or it cannot be read.
    fn complaints(&self, pid: i32) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = files::open(&self.path)?;
            if !file.metadata()?.is_file() {
                return Ok(Vec::new());
            }
            file.seek(io::SeekFrom::Start(self.from))?;
            let mut text = Vec::new();
            file.take(LOG).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().unwrap_or_default();
        let from = ["emerg", "alert", "crit"].map(|level| format!("[{level}] {pid}#"));
        let mut lines: Vec<_> = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| Some(line[from.iter().find_map(|from| line.find(from))?..].to_owned()))
            .collect();
        lines.dedup();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_complaints_of_the_master_count() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "2026/01/01 00:00:00 [emerg] 7#7: old\n").expect("it is ours");
        let log = Log::open(file.path().to_owned());
        let mut text = fs::read_to_string(file.path()).expect("a file");
        text.push_str(
            "t [notice] 7#7: signal\nt [emerg] 8#8: other\nt [emerg] 7#7: a\nt [emerg] 7#7: a\nt [alert] 7#7: b\n",
        );
        fs::write(file.path(), text).expect("it is ours");
        assert_eq!(log.complaints(7), "[emerg] 7#7: a\n[alert] 7#7: b");
        assert_eq!(Log::open(Path::new("/nonexistent").to_owned()).complaints(7), "");
    }
}
