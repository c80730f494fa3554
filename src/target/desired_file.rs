//! What a template became.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Member, Upstream};
use crate::core::store::{Snapshot, Store};

/// The files that a target shall have, by destination; complete as soon as all of them are known.
pub type DesiredFileStore = Store<PathBuf, Arc<DesiredFile>>;

/// The files of a target, by destination.
pub type DesiredFiles = BTreeMap<PathBuf, Arc<DesiredFile>>;

/// What was desired at one moment.
pub(super) type DesiredSnapshot = Snapshot<PathBuf, Arc<DesiredFile>>;

/// One file that a target shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredFile {
    /// Its content.
    pub content: Arc<HashedContent>,
    /// Which of the target's templates it comes from: their place in [`Settings::templates`](super::Settings).
    pub template: usize,
    /// The upstreams in it.
    pub upstreams: Vec<Upstream>,
    /// The healthy instances, among the answers that it was made from, of services that have no upstream.
    pub instances: BTreeSet<Member>,
    /// The texts of the target's templates, as one that renders writes them down. Whoever goes back to that version
    /// renders them anew. `None`: no template made it.
    pub templates: Option<Arc<HashedContent>>,
}

impl DesiredFile {
    /// A file without members.
    pub fn new(template: usize, text: impl Into<Vec<u8>>) -> Self {
        Self::with_content(template, Arc::new(HashedContent::new(text)))
    }

    /// The same, with a content that is hashed already.
    pub(super) fn with_content(template: usize, content: Arc<HashedContent>) -> Self {
        Self { content, template, upstreams: Vec::new(), instances: BTreeSet::new(), templates: None }
    }

    /// The instances that it was made with. One that is missing next time was removed, and that is urgent.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let servers = self.upstreams.iter().flat_map(|upstream| &upstream.servers);
        servers.map(|server| &server.instance).chain(&self.instances)
    }
}

/// The text for one destination, with its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedContent {
    bytes: Vec<u8>,
    digest: Digest,
}

impl HashedContent {
    /// Takes a template's output.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        let bytes = text.into();
        Self { digest: Digest::of(&[&bytes]), bytes }
    }

    /// What is written to the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Names the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for HashedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rendered({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// Names a content: equal digests, equal bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of some byte strings, each with its length, so that no two lists of them look the same.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Of all files and their contents.
    pub fn of_files(files: &DesiredFiles) -> Self {
        let parts = files
            .iter()
            .flat_map(|(path, product)| [path.as_os_str().as_encoded_bytes(), product.content.digest.0.as_slice()]);
        Self::of(&parts.collect::<Vec<_>>())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
    fn a_digest_tells_lists_apart_and_survives_being_written_down() {
        let digest = Digest::of(&[b"ab", b"c"]);
        assert_ne!(digest, Digest::of(&[b"a", b"bc"]));
        let written = serde_json::to_string(&digest).expect("it is a string");
        assert_eq!(serde_json::from_str::<Digest>(&written).expect("it is one of ours"), digest);
        for wrong in ["\"\"", "\"zz\"", "\"é\""] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err());
        }
    }
}
