//! The table `[[target.template]]`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, de};

/// One template and its destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSettings {
    /// The Handlebars template.
    pub source: PathBuf,
    /// The path of the rendered file. With `each` it is a template itself.
    pub destination: PathBuf,
    /// One file for each member of a list or a record: a Handlebars expression such as `(services)`. The member is
    /// `this` in the template and in `destination` (`/etc/nginx/sites/{{name}}.conf`). Default: one file.
    pub each: Option<String>,
    /// Permission bits in octal (`"0644"`). Default: those of the present file, otherwise `0644`.
    #[serde(default, deserialize_with = "octal")]
    pub mode: Option<u32>,
    /// Owner, by name or id. Default: that of the present file, otherwise that of this process.
    pub user: Option<String>,
    /// Group, by name or id. Default: that of the present file, otherwise that of this process.
    pub group: Option<String>,
    /// What to do if the destination is a symlink. Default: follow it.
    #[serde(default)]
    pub symlinks: SymlinkPolicy,
    /// Whether missing directories are created, with mode `0755`. Default: true.
    pub create_dirs: Option<bool>,
    /// The language for which printed values are checked: `nginx`, `haproxy`, `json` or `none`. Default: by the name of
    /// `destination` (`*.json`, `haproxy*.cfg`), otherwise by the target's kind, otherwise `nginx` for a file that an
    /// nginx on this host includes ([`detect_escapes`](crate::target::detect_escapes)).
    pub escape: Option<Escape>,
}

/// What to do with a destination that is a symlink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SymlinkPolicy {
    /// Write its target; the symlink stays.
    #[default]
    Follow,
    /// Change no file, and report an error.
    Refuse,
}

/// The language of a file, which determines how printed values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// nginx configuration.
    Nginx,
    /// HAProxy configuration.
    Haproxy,
    /// JSON: values are printed within strings.
    Json,
    /// Any other language: values are printed unchanged.
    None,
    /// A path, of which a value is one component. For a templated `destination`, not for the content of a file.
    #[serde(skip)]
    Path,
}

impl Escape {
    /// The language by the file name, or by a parent directory named `nginx`.
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
