//! The table `[[target.template]]`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, de};

/// One template and the file that it becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSettings {
    /// The Handlebars file.
    pub source: PathBuf,
    /// The file that is written. With `each` a template itself.
    pub destination: PathBuf,
    /// One file for each member of a list or a record: a Handlebars expression such as `(services)`. The member is
    /// `this` in the template and in `destination` (`/etc/nginx/sites/{{name}}.conf`). Default: one file.
    pub each: Option<String>,
    /// Permission bits, in octal (`"0644"`). Default: those of the file that is replaced, else `0644`.
    #[serde(default, deserialize_with = "octal")]
    pub mode: Option<u32>,
    /// Owner, by name or number. Default: that of the file that is replaced, else ours.
    pub user: Option<String>,
    /// Group, by name or number. Default: that of the file that is replaced, else ours.
    pub group: Option<String>,
    /// What to do if the destination is a symlink. Default: the file that it leads to is written.
    #[serde(default)]
    pub symlinks: SymlinkPolicy,
    /// Whether directories that are missing are made, with mode `0755`. Default: true.
    pub create_dirs: Option<bool>,
    /// The language for which printed values are checked: `nginx`, `haproxy`, `json` or `none`. Default: by the name of
    /// `destination` (`*.json`, `haproxy*.cfg`), otherwise by the target's kind, otherwise `nginx` for a file that an
    /// nginx on this host includes ([`set_languages`](crate::target::set_languages)).
    pub escape: Option<Escape>,
}

/// What to do with a destination that is a symlink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SymlinkPolicy {
    /// Write the file that it leads to; the symlink stays.
    #[default]
    Follow,
    /// Touch nothing, and say so.
    Refuse,
}

/// The language that a file is written in, as far as we know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// nginx's configuration.
    Nginx,
    /// HAProxy's configuration.
    Haproxy,
    /// JSON: values are printed inside of texts.
    Json,
    /// Any other: values are printed as they are.
    None,
    /// A path, of which a value is one component: what a templated `destination` becomes. Not for a file's content.
    #[serde(skip)]
    Path,
}

impl Escape {
    /// What a file's name, or a directory above it that is nginx's, says of its language.
    pub(super) fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name.ends_with(".json") {
            Some(Self::Json)
        } else if name.starts_with("haproxy") && name.ends_with(".cfg") {
            Some(Self::Haproxy)
        } else {
            let mut above = path.parent()?.components();
            above.any(|directory| directory.as_os_str() == "nginx").then_some(Self::Nginx)
        }
    }
}

fn octal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    struct Octal;

    impl de::Visitor<'_> for Octal {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("permission bits in octal and in quotes, such as \"0644\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u32, E> {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.starts_with('+'));
            mode.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    from.deserialize_str(Octal).map(Some)
}
