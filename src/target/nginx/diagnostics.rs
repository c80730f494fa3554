//! The error messages of nginx about a configuration. Pure.

use std::path::Path;

use super::config_tree::ConfigTree;

/// Messages that depend only on the text of the configuration.
const SYNTAX_ERRORS: [&str; 18] = [
    "unknown directive",
    "unexpected \"",
    "unexpected end of file",
    "is not terminated by \";\"",
    "has no opening \"{\"",
    "directive is not allowed here",
    "invalid number of arguments",
    "directive is duplicate",
    "invalid value",
    "invalid parameter",
    "invalid port in",
    "invalid condition",
    "invalid URL prefix",
    "unknown \"",
    "duplicate location",
    "duplicate upstream",
    "no servers are inside upstream",
    "too long parameter",
];

/// How much of a line is quoted, in characters.
const MAX_QUOTED_CHARS: usize = 200;

/// Whether a rejection is known to depend only on the files that nginx has read.
pub(super) fn is_permanent(output: &str) -> bool {
    let errors: Vec<_> = output.lines().filter(|line| is_error_line(line)).collect();
    let is_syntax_error = |line: &&str| {
        // A system error such as `(2: No such file or directory)` may not occur next time.
        !line.contains(" failed") && SYNTAX_ERRORS.iter().any(|message| line.contains(message))
    };
    !errors.is_empty() && errors.iter().all(is_syntax_error)
}

fn is_error_line(line: &str) -> bool {
    ["[emerg]", "[alert]", "[crit]", "[error]"].iter().any(|level| line.contains(level))
}

/// Adds the candidate's line to each error that names one, since the file on the disk has a different one.
pub(super) fn quote_lines(output: &str, tree: &ConfigTree) -> String {
    let quoted = output.lines().map(|line| {
        match error_location(line).and_then(|(path, number)| candidate_line(tree, path, number)) {
            Some(candidate) => format!("{line}\n  {candidate}"),
            None => line.to_owned(),
        }
    });
    quoted.collect::<Vec<_>>().join("\n")
}

/// The file and the line number at the end of an error.
fn error_location(line: &str) -> Option<(&Path, usize)> {
    let (path, number) = is_error_line(line).then_some(line)?.rsplit_once(" in ")?.1.rsplit_once(':')?;
    Some((Path::new(path), number.trim().parse().ok()?))
}

fn candidate_line(tree: &ConfigTree, path: &Path, number: usize) -> Option<String> {
    let file = tree.files.get(path)?;
    let destination = file.candidate.as_ref()?.display();
    let text = String::from_utf8_lossy(&file.text);
    // An error at the end of the file has the number after the last line.
    let line = text.lines().nth(number.saturating_sub(1)).or_else(|| text.lines().last())?.trim();
    let shown: String = line.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if shown.len() < line.len() { " …" } else { "" };
    Some(format!("line {number} of the candidate for {destination}: {shown}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_text_are_permanent() {
        let permanent = [
            "nginx: [emerg] unknown directive \"retrun\" in /etc/nginx/conf.d/web.conf:3",
            "nginx: [warn] x\nnginx: [emerg] unexpected \"}\" in /x:1",
            "nginx: [emerg] unexpected end of file, expecting \"}\" in /x:9",
            "nginx: [emerg] \"server\" directive is not allowed here in /x:1",
            "nginx: [emerg] invalid number of arguments in \"listen\" directive in /x:1",
            "nginx: [emerg] unknown \"nope\" variable",
            "nginx: [emerg] no servers are inside upstream in /x:3",
        ];
        for output in permanent {
            assert!(is_permanent(output), "{output}");
        }
        let other = [
            "",
            "nginx -t was killed by signal 9",
            "nginx: [emerg] host not found in upstream \"app\" in /x:1",
            "nginx: [emerg] cannot load certificate \"/a.pem\": BIO_new_file() failed (SSL: error) in /x:1",
            "nginx: [emerg] open() \"/var/log/unknown directive/a.log\" failed (2: No such file or directory)",
            "nginx: [emerg] dlopen() \"/m.so\" failed (/m.so: cannot open shared object file) in /x:1",
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
            "nginx: [emerg] getpwnam(\"web\") failed in /x:1",
            "nginx: [emerg] something new in /x:1",
            "nginx: [alert] fork() failed\nnginx: [emerg] unknown directive \"x\" in /x:1",
        ];
        for output in other {
            assert!(!is_permanent(output), "{output}");
        }
    }

    #[test]
    fn an_error_ends_with_its_location() {
        assert_eq!(error_location("nginx: [emerg] a in b in /x y:12"), Some((Path::new("/x y"), 12)));
        assert_eq!(error_location("nginx: configuration file /x:1 test failed"), None);
        assert_eq!(error_location("nginx: [emerg] bind() to 0.0.0.0:80 failed"), None);
    }
}
