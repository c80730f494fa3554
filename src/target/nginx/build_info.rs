//! What an nginx program says about itself (`nginx -V`).

use std::path::{Path, PathBuf};

/// The paths that it was built with, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BuildInfo {
    pub(super) prefix: PathBuf,
    /// The main configuration file; relative to the prefix, as the following.
    pub(super) conf: PathBuf,
    pub(super) pid_file: PathBuf,
    pub(super) error_log: PathBuf,
    /// Whether it knows `-e`, which says where errors go until the configuration has been read.
    pub(super) has_error_log_flag: bool,
}

/// Since this version.
const ERROR_LOG_FLAG_VERSION: [u32; 3] = [1, 19, 5];

impl BuildInfo {
    /// Reads the output of `nginx -V`.
    pub(super) fn parse(output: &str) -> Self {
        let given = |name: &str, default: &str| {
            let value = output.split_once(&format!("--{name}=")).map(|(_, rest)| rest);
            let value = value.and_then(|rest| rest.split_whitespace().next()).unwrap_or(default);
            PathBuf::from(value)
        };
        Self {
            prefix: given("prefix", "/usr/local/nginx"),
            conf: given("conf-path", "conf/nginx.conf"),
            pid_file: given("pid-path", "logs/nginx.pid"),
            error_log: given("error-log-path", "logs/error.log"),
            has_error_log_flag: version(output).is_some_and(|version| version >= ERROR_LOG_FLAG_VERSION),
        }
    }
}

fn version(output: &str) -> Option<[u32; 3]> {
    let (_, version) = output.lines().next()?.rsplit_once('/')?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    digits.take(3).collect::<Vec<_>>().try_into().ok()
}

/// Where files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigPaths {
    /// Logs, pid and temporary files are relative to this one.
    pub(super) prefix: PathBuf,
    /// The main configuration file; what it includes is relative to its directory.
    pub(super) conf: PathBuf,
}

impl ConfigPaths {
    /// As nginx finds them: `-c` is relative to the prefix.
    pub(super) fn new(binary: &BuildInfo, prefix: Option<&Path>, conf: Option<&Path>) -> Self {
        let prefix = prefix.unwrap_or(&binary.prefix).to_owned();
        let conf = prefix.join(conf.unwrap_or(&binary.conf));
        Self { prefix, conf }
    }

    /// The directory of the main configuration file.
    pub(super) fn config_dir(&self) -> &Path {
        self.conf.parent().unwrap_or(Path::new("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_says_it_all() {
        let output = "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.8\nconfigure arguments: --with-cc-opt='-g' \
            --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --http-log-path=/var/log/nginx/access.log \
            --error-log-path=stderr --pid-path=/run/nginx.pid --with-debug\n";
        let binary = BuildInfo {
            prefix: "/usr/share/nginx".into(),
            conf: "/etc/nginx/nginx.conf".into(),
            pid_file: "/run/nginx.pid".into(),
            error_log: "stderr".into(),
            has_error_log_flag: true,
        };
        assert_eq!(BuildInfo::parse(output), binary);
        let place = ConfigPaths::new(&binary, Some("/srv".as_ref()), None);
        assert_eq!(
            (place.conf.as_path(), place.config_dir()),
            ("/etc/nginx/nginx.conf".as_ref(), "/etc/nginx".as_ref())
        );
        assert_eq!(
            ConfigPaths::new(&binary, Some("/srv".as_ref()), Some("n.conf".as_ref())).conf,
            Path::new("/srv/n.conf")
        );
    }

    #[test]
    fn a_plain_build_has_the_defaults() {
        let binary = BuildInfo::parse("nginx version: nginx/1.31.4\nconfigure arguments:");
        assert_eq!(ConfigPaths::new(&binary, None, None).conf, Path::new("/usr/local/nginx/conf/nginx.conf"));
        assert!(binary.has_error_log_flag);
    }

    #[test]
    fn versions_of_relatives() {
        let knows = |first: &str| BuildInfo::parse(&format!("{first}\n")).has_error_log_flag;
        assert!(knows("nginx version: openresty/1.21.4.1") && knows("nginx version: nginx/1.25.3 (Ubuntu)"));
        assert!(!knows("nginx version: nginx/1.18.0 (Ubuntu)") && !knows("nginx version: nginx/1.19.4") && !knows("x"));
    }
}
