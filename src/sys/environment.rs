//! The environment of this process.

/// Each variable with its value. Those that are not UTF-8 are left out: they cannot be a setting.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
