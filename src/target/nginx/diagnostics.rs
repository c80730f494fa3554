//! What nginx says about a configuration that it refuses. Pure.

use std::path::Path;

use super::config_tree::ConfigTree;

/// What nginx says only about the text of a configuration, whatever lies around it.
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

/// The longest part of a line that is quoted, in characters.
const MAX_QUOTED_CHARS: usize = 200;

/// Whether a refusal depends on nothing but the files that were read. When in doubt, it does not.
pub(super) fn is_permanent(output: &str) -> bool {
    let complaints: Vec<_> = output.lines().filter(|line| is_error_line(line)).collect();
    let of_the_text = |line: &&str| {
        // What the system has answered may be another answer next time: `(2: No such file or directory)`.
        !line.contains(" failed") && SYNTAX_ERRORS.iter().any(|said| line.contains(said))
    };
    !complaints.is_empty() && complaints.iter().all(of_the_text)
}

fn is_error_line(line: &str) -> bool {
    ["[emerg]", "[alert]", "[crit]", "[error]"].iter().any(|level| line.contains(level))
}

/// Puts the candidate's line below each complaint that names one: the file at that path is another one.
pub(super) fn quote_lines(output: &str, tree: &ConfigTree) -> String {
    let quoted = output.lines().map(|line| {
        match error_location(line).and_then(|(path, number)| candidate_line(tree, path, number)) {
            Some(candidate) => format!("{line}\n  {candidate}"),
            None => line.to_owned(),
        }
    });
    quoted.collect::<Vec<_>>().join("\n")
}

/// The file and the line at the end of a complaint.
fn error_location(line: &str) -> Option<(&Path, usize)> {
    let (path, number) = is_error_line(line).then_some(line)?.rsplit_once(" in ")?.1.rsplit_once(':')?;
    Some((Path::new(path), number.trim().parse().ok()?))
}

fn candidate_line(tree: &ConfigTree, path: &Path, number: usize) -> Option<String> {
    let node = tree.files.get(path)?;
    let destination = node.candidate.as_ref()?.display();
    let text = String::from_utf8_lossy(&node.text);
    // The end of the file comes after its last line.
    let line = text.lines().nth(number.saturating_sub(1)).or_else(|| text.lines().last())?.trim();
    let shown: String = line.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if shown.len() < line.len() { " …" } else { "" };
    Some(format!("line {number} of the candidate for {destination}: {shown}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complaints_about_the_text_are_certain() {
        let certain = [
            "nginx: [emerg] unknown directive \"retrun\" in /etc/nginx/conf.d/web.conf:3",
            "nginx: [warn] x\nnginx: [emerg] unexpected \"}\" in /x:1",
            "nginx: [emerg] unexpected end of file, expecting \"}\" in /x:9",
            "nginx: [emerg] \"server\" directive is not allowed here in /x:1",
            "nginx: [emerg] invalid number of arguments in \"listen\" directive in /x:1",
            "nginx: [emerg] unknown \"nope\" variable",
            "nginx: [emerg] no servers are inside upstream in /x:3",
        ];
        for output in certain {
            assert!(is_permanent(output), "{output}");
        }
        let doubtful = [
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
        for output in doubtful {
            assert!(!is_permanent(output), "{output}");
        }
    }

    #[test]
    fn a_complaint_ends_with_its_place() {
        assert_eq!(error_location("nginx: [emerg] a in b in /x y:12"), Some((Path::new("/x y"), 12)));
        assert_eq!(error_location("nginx: configuration file /x:1 test failed"), None);
        assert_eq!(error_location("nginx: [emerg] bind() to 0.0.0.0:80 failed"), None);
    }
}
