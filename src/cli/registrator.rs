//! Registrator's own spellings after `register`: `-ip 10.0.0.1`, `-useIpFromLabel=x`, `-internal=true`. Pure.
//!
//! Go's `flag` package takes one dash or two, `-flag value` or `-flag=value`, and a bare switch for true.

use std::ffi::OsString;

/// Registrator's name, ours, and whether it is a switch.
const TABLE: [(&str, &str, bool); 13] = [
    ("cleanup", "cleanup", true),
    ("deregister", "deregister", false),
    ("explicit", "explicit", true),
    ("internal", "internal", true),
    ("ip", "ip", false),
    ("resync", "resync", false),
    ("retry-attempts", "retry-attempts", false),
    ("retry-interval", "retry-interval", false),
    ("tags", "tags", false),
    ("ttl", "ttl", false),
    ("ttl-refresh", "ttl-refresh", false),
    ("useIpFromLabel", "use-ip-from-label", false),
    ("version", "version", true),
];

/// Puts our spellings in the place of registrator's. Everything else stays as it is.
pub fn translate(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut after_register = false;
    let mut translate = |argument: OsString| {
        let translated = argument.to_str().filter(|_| after_register).and_then(ours);
        after_register |= argument == "register";
        translated.map_or(argument, OsString::from)
    };
    arguments.into_iter().map(&mut translate).collect()
}

fn ours(argument: &str) -> Option<String> {
    let spelled = argument.strip_prefix('-')?;
    let spelled = spelled.strip_prefix('-').unwrap_or(spelled);
    let (name, value) = spelled.split_once('=').map_or((spelled, None), |(name, value)| (name, Some(value)));
    let (_, ours, switch) = TABLE.iter().find(|(theirs, ..)| *theirs == name)?;
    Some(match (value, switch) {
        (None, _) => format!("--{ours}"),
        // What Go's strconv.ParseBool takes.
        (Some("1" | "t" | "T" | "TRUE" | "true" | "True"), true) => format!("--{ours}=true"),
        (Some("0" | "f" | "F" | "FALSE" | "false" | "False"), true) => format!("--{ours}=false"),
        (Some(value), _) => format!("--{ours}={value}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let arguments = translate(line.split(' ').map(OsString::from));
        arguments.join(std::ffi::OsStr::new(" ")).into_string().expect("text")
    }

    #[test]
    fn one_dash_or_two() {
        let cases = [
            ("portreeve register -ip 10.0.0.1 consul://x", "portreeve register --ip 10.0.0.1 consul://x"),
            ("portreeve register -ip=1 -internal", "portreeve register --ip=1 --internal"),
            ("portreeve register --useIpFromLabel=x", "portreeve register --use-ip-from-label=x"),
            ("portreeve register -internal=T -explicit=0", "portreeve register --internal=true --explicit=false"),
            ("portreeve register -ttl-refresh=5 -h", "portreeve register --ttl-refresh=5 -h"),
            ("portreeve -ip render -ip", "portreeve -ip render -ip"),
        ];
        for (theirs, ours) in cases {
            assert_eq!(translated(theirs), ours);
        }
    }
}
