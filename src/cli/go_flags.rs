//! Translates the command line of registrator and consul-template: `-ip 10.0.0.1`, `-useIpFromLabel=x`, `-once=true`.
//! Pure.
//!
//! Go's `flag` package accepts one dash or two, `-flag value` or `-flag=value`, and a switch without a value as true.
//! Portreeve's only short options are `-h` and `-V`, so everything longer after one dash is a long option.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;
use crate::core::value;

/// Option names of consul-template, and Portreeve's names for them.
const ALIASES: [(&str, &str); 2] = [("consul-addr", "consul"), ("dry", "dry-run")];

/// Replaces Go spellings by Portreeve's. Other arguments stay as they are.
pub fn translate_go_flags(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut cli = Cli::command();
    cli.build();
    let mut command = &cli;
    let mut translated = Vec::new();
    // Whether the next argument is the value of an option; whether `--` has ended the options.
    let (mut is_value, mut is_over) = (false, false);
    for argument in arguments {
        let option =
            argument.to_str().filter(|_| !is_value && !is_over).and_then(|text| LongOption::parse(text, command));
        is_over |= argument == "--" && !is_value;
        is_value = false;
        match option {
            Some(option) => {
                is_value = option.value.is_none() && option.definition.is_some_and(needs_value);
                translated.extend(option.to_argument().map(OsString::from));
            }
            None => {
                command = argument.to_str().and_then(|name| command.find_subcommand(name)).unwrap_or(command);
                translated.push(argument);
            }
        }
    }
    translated
}

/// A long option, after one dash or two.
struct LongOption<'a> {
    name: String,
    value: Option<&'a str>,
    /// `None` if there is no such option.
    definition: Option<&'a Arg>,
}

impl<'a> LongOption<'a> {
    fn parse(argument: &'a str, command: &'a Command) -> Option<Self> {
        let spelled = argument.strip_prefix('-')?;
        let is_short = !spelled.starts_with('-') && spelled.chars().count() < 2;
        let spelled = spelled.strip_prefix('-').unwrap_or(spelled);
        if is_short || !spelled.starts_with(|char: char| char.is_ascii_alphabetic()) {
            return None;
        }
        let (name, value) = spelled.split_once('=').map_or((spelled, None), |(name, value)| (name, Some(value)));
        let name = kebab(name);
        let find = |name: &str| command.get_arguments().find(|known| known.get_long() == Some(name));
        let alias = || ALIASES.iter().find(|(theirs, ours)| *theirs == name && find(ours).is_some());
        let name = if find(&name).is_some() { name } else { alias().map_or(name, |(_, ours)| (*ours).to_owned()) };
        let known = find(&name);
        Some(Self { name, value, definition: known })
    }

    /// `--name=value`; `None` for a switch that is off.
    fn to_argument(&self) -> Option<String> {
        let name = &self.name;
        let is_switch = self.definition.is_some_and(|known| !known.get_action().takes_values());
        match (self.value, self.value.and_then(value::parse_boolean)) {
            (Some(_), Some(is_on)) if is_switch => is_on.then(|| format!("--{name}")),
            (Some(value), _) => Some(format!("--{name}={value}")),
            (None, _) => Some(format!("--{name}")),
        }
    }
}

fn needs_value(known: &Arg) -> bool {
    matches!(known.get_action(), ArgAction::Set | ArgAction::Append) && !known.is_require_equals_set()
}

/// `useIpFromLabel` as `use-ip-from-label`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(char.to_ascii_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let arguments = translate_go_flags(line.split(' ').map(OsString::from));
        arguments.join(std::ffi::OsStr::new(" ")).into_string().expect("text")
    }

    #[test]
    fn one_dash_or_two() {
        let cases = [
            ("portreeve register -ip 10.0.0.1 consul://x", "portreeve register --ip 10.0.0.1 consul://x"),
            ("portreeve register -ip=1 -internal", "portreeve register --ip=1 --internal"),
            ("portreeve register --useIpFromLabel=x", "portreeve register --use-ip-from-label=x"),
            ("portreeve register -internal=T -explicit=0", "portreeve register --internal=T --explicit=0"),
            ("portreeve register -ttl-refresh=5 -h", "portreeve register --ttl-refresh=5 -h"),
            ("portreeve register -hostname n1", "portreeve register --hostname n1"),
            ("portreeve register -hostnam n1", "portreeve register --hostnam n1"),
            ("portreeve register -retry-attempts -1 -V", "portreeve register --retry-attempts -1 -V"),
            ("portreeve render -once=true -dry=false -config x", "portreeve render --once --config x"),
            ("portreeve render -consul-addr=a:1 -template -x", "portreeve render --consul=a:1 --template -x"),
            ("portreeve render rollback -list -to=3", "portreeve render rollback --list --to=3"),
            ("portreeve -version", "portreeve --version"),
            ("portreeve -log-level debug lint -internal a.yml", "portreeve --log-level debug lint --internal a.yml"),
            ("portreeve lint -- -x.yml", "portreeve lint -- -x.yml"),
        ];
        for (theirs, ours) in cases {
            assert_eq!(translated(theirs), ours);
        }
    }
}
