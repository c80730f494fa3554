//! Relative paths in the configuration file: they are relative to the directory of that file. Pure.
//!
//! Environment variables and flags come later. Their paths stay as they are, relative to the working directory.

use std::path::Path;

use toml::{Table, Value};

/// The keys of each section that hold paths.
const SECTIONS: [(&str, &[&str]); 3] = [
    ("consul", &["token_file", "ca_cert", "ca_path", "client_cert", "client_key"]),
    ("docker", &["cert_path"]),
    ("render", &["state_dir", "partials", "files"]),
];
/// The keys of a `[[target]]` that hold paths. nginx would resolve a relative one below its prefix.
const TARGET: [&str; 3] = ["conf", "prefix", "pid_file"];
/// A program in a `[[target]]`: a path, or a name that is looked up on `PATH`.
const PROGRAM: &str = "binary";
/// The keys of a `[[target.template]]` that hold paths.
const TEMPLATE: [&str; 2] = ["source", "destination"];

/// The directory of the configuration file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory<'a> {
    /// As the user wrote it, so that messages show paths as short as they were written.
    pub(super) given: &'a Path,
    /// The same as an absolute path.
    pub(super) absolute: &'a Path,
}

/// The path of the directory is not UTF-8, so no path in a configuration can begin with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotText;

/// Makes the relative paths of a configuration file relative to its directory.
pub(super) fn resolve(table: &mut Table, directory: Directory<'_>) -> Result<(), NotText> {
    for (section, keys) in SECTIONS {
        if let Some(Value::Table(section)) = table.get_mut(section) {
            join(section, keys, directory.given)?;
        }
    }
    for target in tables(table, "target") {
        join(target, &TARGET, directory.absolute)?;
        if matches!(target.get(PROGRAM), Some(Value::String(program)) if program.contains('/')) {
            join(target, &[PROGRAM], directory.given)?;
        }
        for template in tables(target, "template") {
            join(template, &TEMPLATE, directory.given)?;
        }
    }
    Ok(())
}

fn tables<'a>(table: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    table.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_table_mut)
}

/// An empty path stays empty: its user reports the error.
fn join(table: &mut Table, keys: &[&str], directory: &Path) -> Result<(), NotText> {
    for key in keys {
        if let Some(Value::String(path)) = table.get_mut(*key)
            && !path.is_empty()
        {
            *path = directory.join(&*path).into_os_string().into_string().map_err(|_| NotText)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    /// Every path that a file can contain, each relative, and other values that look like paths.
    const FILE: &str = r#"
        [consul]
        address = "unix:///run/consul.sock"
        token_file = "token"
        ca_cert = "tls/ca.pem"
        ca_path = "./tls"
        client_cert = "../cert.pem"
        client_key = "~/key.pem"
        [docker]
        host = "unix:///run/docker.sock"
        cert_path = "docker"
        [register]
        hostname = "box"
        [render]
        state_dir = "state"
        partials = "partials"
        files = ""
        [exec]
        command = ["bin/app", "app.conf"]
        [[target]]
        name = "edge"
        kind = "nginx"
        binary = "bin/nginx"
        conf = "nginx.conf"
        prefix = "."
        pid_file = "/run/nginx.pid"
        [[target.template]]
        source = "edge.hbs"
        destination = "/etc/nginx/edge.conf"
        [[target.template]]
        source = "site.hbs"
        each = "(services)"
        destination = "sites/{{name}}.conf"
        [[target]]
        name = "app"
        kind = "command"
        binary = "nginx"
        check = ["./check", "{{candidate}}"]
        pid_file = "app.pid"
    "#;

    fn resolved(given: &str) -> Table {
        let mut table: Table = FILE.parse().expect("TOML");
        let directory = Directory { given: Path::new(given), absolute: Path::new("/etc/p") };
        resolve(&mut table, directory).expect("text");
        table
    }

    #[test]
    fn each_relative_path_is_below_the_directory_and_nothing_else_is_changed() {
        let mut expected = FILE.to_owned();
        for (written, meant) in [
            ("token", "/etc/p/token"),
            ("tls/ca.pem", "/etc/p/tls/ca.pem"),
            ("./tls", "/etc/p/./tls"),
            ("../cert.pem", "/etc/p/../cert.pem"),
            ("~/key.pem", "/etc/p/~/key.pem"),
            ("docker", "/etc/p/docker"),
            ("state", "/etc/p/state"),
            ("partials", "/etc/p/partials"),
            ("bin/nginx", "/etc/p/bin/nginx"),
            ("nginx.conf", "/etc/p/nginx.conf"),
            (".", "/etc/p/."),
            ("edge.hbs", "/etc/p/edge.hbs"),
            ("site.hbs", "/etc/p/site.hbs"),
            ("sites/{{name}}.conf", "/etc/p/sites/{{name}}.conf"),
            ("app.pid", "/etc/p/app.pid"),
        ] {
            expected = expected.replace(&format!(" = \"{written}\""), &format!(" = \"{meant}\""));
        }
        assert_eq!(resolved("/etc/p"), expected.parse::<Table>().expect("TOML"));
    }

    #[test]
    fn paths_are_shown_as_they_are_written_beside_a_file_without_a_directory() {
        let table = resolved("");
        assert_eq!(table["render"]["partials"].as_str(), Some("partials"));
        assert_eq!(table["target"][0]["template"][1]["source"].as_str(), Some("site.hbs"));
        let nginx = ["conf", "pid_file"].map(|key| table["target"][0][key].as_str());
        assert_eq!(nginx, [Some("/etc/p/nginx.conf"), Some("/run/nginx.pid")], "nginx would look below its prefix");
    }

    #[test]
    fn a_directory_that_is_not_utf_8_is_refused_if_a_path_begins_with_it() {
        let directory = Path::new(OsStr::from_bytes(b"/\xff"));
        let directory = Directory { given: directory, absolute: directory };
        for (file, result) in [("render.files = 'a'", Err(NotText)), ("render.files = '/a'", Ok(()))] {
            assert_eq!(resolve(&mut file.parse().expect("TOML"), directory), result, "{file}");
        }
    }

    /// A new key that holds a path has to be listed above.
    #[test]
    fn every_path_of_the_settings_is_known() {
        let sources = [
            include_str!("../consul/settings.rs"),
            include_str!("../docker/settings.rs"),
            include_str!("../render/setup.rs"),
            include_str!("../target/settings/table.rs"),
            include_str!("../target/settings/template.rs"),
            include_str!("../register/settings.rs"),
            include_str!("../exec/settings.rs"),
        ];
        let fields = sources.iter().flat_map(|source| source.lines()).filter_map(|line| {
            let (name, of) = line.trim().trim_start_matches("pub ").split_once(": ")?;
            ["PathBuf,", "Option<PathBuf>,"].contains(&of).then_some(name)
        });
        let known: Vec<_> = SECTIONS.iter().flat_map(|(_, keys)| *keys).chain(&TARGET).chain(&TEMPLATE).collect();
        let unknown: Vec<_> = fields.filter(|field| *field != PROGRAM && !known.contains(&field)).collect();
        assert_eq!(unknown, ["path"], "that is the field of an error");
    }
}
