//! The output of `nginx -V`, and the paths that follow from it.

use std::path::{Path, PathBuf};

/// The default paths and features of an nginx binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BuildInfo {
    pub(super) prefix: PathBuf,
    /// The main configuration file. This path and the following ones are relative to the prefix.
    pub(super) conf: PathBuf,
    pub(super) pid_file: PathBuf,
    pub(super) error_log: PathBuf,
    /// Whether it has `-e`, the error log until the configuration is read.
    pub(super) has_error_log_flag: bool,
}

/// The first version with `-e`.
const ERROR_LOG_FLAG_VERSION: [u32; 3] = [1, 19, 5];

impl BuildInfo {
    /// Parses the output of `nginx -V`.
    pub(super) fn parse(output: &str) -> Self {
        let option = |name: &str, default: &str| {
            let value = output.split_once(&format!("--{name}=")).map(|(_, rest)| rest);
            let value = value.and_then(|rest| rest.split_whitespace().next()).unwrap_or(default);
            PathBuf::from(value)
        };
        Self {
            prefix: option("prefix", "/usr/local/nginx"),
            conf: option("conf-path", "conf/nginx.conf"),
            pid_file: option("pid-path", "logs/nginx.pid"),
            error_log: option("error-log-path", "logs/error.log"),
            has_error_log_flag: version(output).is_some_and(|version| version >= ERROR_LOG_FLAG_VERSION),
        }
    }
}

fn version(output: &str) -> Option<[u32; 3]> {
    let (_, version) = output.lines().next()?.rsplit_once('/')?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    digits.take(3).collect::<Vec<_>>().try_into().ok()
}

/// The paths of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigPaths {
    /// The base of logs, pid file and temporary files.
    pub(super) prefix: PathBuf,
    /// The main configuration file. Its directory is the base of included files.
    pub(super) conf: PathBuf,
}

impl ConfigPaths {
    /// As in nginx, `conf` is relative to the prefix.
    pub(super) fn new(build: &BuildInfo, prefix: Option<&Path>, conf: Option<&Path>) -> Self {
        let prefix = prefix.unwrap_or(&build.prefix).to_owned();
        let conf = prefix.join(conf.unwrap_or(&build.conf));
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
    fn a_build_of_a_distribution_names_its_paths() {
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
        let paths = ConfigPaths::new(&binary, Some("/srv".as_ref()), None);
        assert_eq!(
            (paths.conf.as_path(), paths.config_dir()),
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
    fn versions_of_derivatives() {
        let has_flag = |first: &str| BuildInfo::parse(&format!("{first}\n")).has_error_log_flag;
        assert!(has_flag("nginx version: openresty/1.21.4.1") && has_flag("nginx version: nginx/1.25.3 (Ubuntu)"));
        assert!(
            !has_flag("nginx version: nginx/1.18.0 (Ubuntu)")
                && !has_flag("nginx version: nginx/1.19.4")
                && !has_flag("x")
        );
    }
}
