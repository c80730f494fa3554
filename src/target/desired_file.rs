//! Rendered files, and digests of their contents.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Member, Upstream};
use crate::{
    core::store::{Snapshot, Store},
    sys::hex,
};

/// The desired files of a target, by destination; complete as soon as all templates have rendered.
pub type DesiredFileStore = Store<PathBuf, Arc<DesiredFile>>;

/// Desired files, by destination.
pub type DesiredFiles = BTreeMap<PathBuf, Arc<DesiredFile>>;

/// All desired files of a target at one moment.
#[derive(Clone, Debug)]
pub(super) struct DesiredSnapshot {
    pub(super) files: Arc<DesiredFiles>,
    /// Whether all templates have rendered.
    pub(super) complete: bool,
    /// Computed once for all clones.
    digest: Arc<OnceLock<Digest>>,
}

impl DesiredSnapshot {
    pub(super) fn complete(files: DesiredFiles) -> Self {
        Self { files: Arc::new(files), complete: true, digest: Arc::default() }
    }

    pub(super) fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::of_files(&self.files))
    }

    /// The version of the templates that the files were rendered from; `None` if none of them was rendered.
    pub(super) fn template_version(&self) -> Option<Digest> {
        self.templates().map(|templates| templates.digest())
    }

    /// The content of that version.
    pub(super) fn templates(&self) -> Option<&Arc<HashedContent>> {
        self.files.values().find_map(|file| file.templates.as_ref())
    }

    /// The members of all files.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.files.values().flat_map(|file| file.members())
    }

    /// Whether both have the same files and are equally complete.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.complete == other.complete && (Arc::ptr_eq(&self.files, &other.files) || self.files == other.files)
    }
}

impl From<Snapshot<PathBuf, Arc<DesiredFile>>> for DesiredSnapshot {
    fn from(snapshot: Snapshot<PathBuf, Arc<DesiredFile>>) -> Self {
        Self { files: snapshot.entries, complete: snapshot.complete, digest: Arc::default() }
    }
}

/// A rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredFile {
    /// Its content.
    pub content: Arc<HashedContent>,
    /// The number of its template: the index in [`Settings::templates`](super::Settings::templates).
    pub template: usize,
    /// The upstreams in it.
    pub upstreams: Vec<Upstream>,
    /// The healthy instances that it was rendered from, of services without an upstream.
    pub instances: BTreeSet<Member>,
    /// The version of the target's templates: their texts, as the renderer has serialised them. A rollback to this
    /// version renders them again. `None` if the file was not rendered.
    pub templates: Option<Arc<HashedContent>>,
}

impl DesiredFile {
    /// A file without members.
    pub fn new(template: usize, text: impl Into<Vec<u8>>) -> Self {
        let content = Arc::new(HashedContent::new(text));
        Self { content, template, upstreams: Vec::new(), instances: BTreeSet::new(), templates: None }
    }

    /// The instances that it was rendered from. A change that removes one is urgent.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let servers = self.upstreams.iter().flat_map(|upstream| &upstream.servers);
        servers.map(|server| &server.instance).chain(&self.instances)
    }
}

/// The content of a file, with its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedContent {
    bytes: Vec<u8>,
    digest: Digest,
}

impl HashedContent {
    /// Computes the digest.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        let bytes = text.into();
        Self { digest: Digest::of(&[&bytes]), bytes }
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for HashedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashedContent({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// A SHA-256 that identifies a content or a list of contents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a list of byte strings. Each is hashed with its length, so different lists have different digests.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The digest of the paths and contents of all files.
    pub fn of_files(files: &DesiredFiles) -> Self {
        let parts = files
            .iter()
            .flat_map(|(path, file)| [path.as_os_str().as_encoded_bytes(), file.content.digest.0.as_slice()]);
        Self::of(&parts.collect::<Vec<_>>())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        let digits = |at: usize| hex.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = digits(at).ok_or("not a SHA-256 in hex")?;
        }
        if hex.len() == 64 { Ok(Self(bytes)) } else { Err("not a SHA-256 in hex") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_lists_have_different_digests_and_a_digest_can_be_serialised() {
        let digest = Digest::of(&[b"ab", b"c"]);
        assert_ne!(digest, Digest::of(&[b"a", b"bc"]));
        let written = serde_json::to_string(&digest).expect("it is a string");
        assert_eq!(serde_json::from_str::<Digest>(&written).expect("it is one of ours"), digest);
        for wrong in ["\"\"", "\"zz\"", "\"é\""] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err());
        }
    }
}
