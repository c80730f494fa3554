//! The table `[[target.template]]`.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};

/// One template and the file that it becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The Handlebars file.
    pub source: PathBuf,
    /// The file that is written. Its directory must exist. A symlink is written through.
    pub destination: PathBuf,
    /// Permission bits, in octal (`"0644"`). Default: those of the file that is replaced, else `0644`.
    #[serde(default, deserialize_with = "octal")]
    pub mode: Option<u32>,
    /// Owner, by name or number. Default: that of the file that is replaced, else ours.
    pub user: Option<String>,
    /// Group, by name or number. Default: that of the file that is replaced, else ours.
    pub group: Option<String>,
    /// The language whose limits a printed value has to keep: `nginx`, or `none`. Default: that of the target's kind.
    pub escape: Option<Escape>,
}

/// The language that a file is written in, as far as we know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// nginx's configuration.
    Nginx,
    /// Any other: values are printed as they are.
    None,
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
