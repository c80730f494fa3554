//! Hints for users of consul-template and Go's templates: what to write instead. Pure.

use super::helpers;

/// Names from consul-template and Go's templates, each with its replacement.
const REPLACEMENTS: &[(&str, &str)] = &[
    ("keyOrDefault", "write `keyOr`"),
    ("envOrDefault", "write `envOr`"),
    ("safeLs", "write `ls … min=1`"),
    ("safeTree", "write `tree … min=1`"),
    ("explodeMap", "write `explode`"),
    ("mergeMap", "write `merge`"),
    ("mergeMapWithOverride", "write `merge … override=true`"),
    ("range", "write {{#each …}} … {{/each}}"),
    ("template", "write {{> name}}"),
    ("define", "write {{#*inline \"name\"}} … {{/inline}}"),
    ("block", "write {{#> name}} … {{/name}}"),
    ("executeTemplate", "write {{> name}}"),
    ("index", "write `lookup`"),
    ("le", "write `lte`"),
    ("ge", "write `gte`"),
    ("print", "write `concat`"),
    ("printf", "write `concat`, with `padLeft` or `round` for widths"),
    ("timestamp", "a render does not know the time: the same data give the same bytes"),
    ("writeToFile", "write `each` in the [[target.template]]"),
    ("scratch", "write {{#with … as |name|}}, or `dict`"),
    ("nil", "write {{#if x}} to ask whether there is x, or `or` for a default"),
    ("end", "close the block by its name: {{/each}}, {{/if}}"),
    ("break", "put the rest of the block into {{#if …}}"),
    ("continue", "put the rest of the block into {{#if …}}"),
    ("println", "write `concat`"),
    ("secret", "Vault is not supported; `file` reads a file that another program has written"),
    ("secrets", "Vault is not supported"),
    ("pkiCert", "Vault is not supported; `file` reads a file that another program has written"),
    ("nomadService", "Nomad is not supported; `service` finds the services that Nomad has registered in Consul"),
    ("nomadServices", "Nomad is not supported; `services` finds the services that Nomad has registered in Consul"),
    ("nomadVar", "Nomad is not supported"),
    ("plugin", "a render runs no program"),
    ("sockaddr", "a render does not read the host's addresses; `env` reads a variable"),
    ("-", "write {{~ … ~}}"),
];

/// What to write instead of a tag of Go's templates. `tag`: the text between the braces.
pub(super) fn tag_hint(tag: &str) -> Option<String> {
    let trimmed = tag.trim();
    let inner = trimmed.trim_matches('-').trim();
    let first = inner.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let hint = |original: &str, replacement: &str| Some(format!("{original} is from Go's templates: {replacement}"));
    if trimmed.starts_with('-') || trimmed.ends_with('-') {
        hint("{{- … -}}", "write {{~ … ~}}")
    } else if trimmed.starts_with("/*") {
        hint("{{/* … */}}", "write {{!-- … --}}")
    } else if let Some(replacement) = replacement_hint(first) {
        hint(&format!("`{first}`"), replacement)
    } else if inner.contains(":=") || inner.starts_with('$') && inner.contains(" = ") {
        hint("`$x := …`", "write {{#with … as |x|}} … {{/with}}")
    } else if let Some((value, helper)) = split_pipe(inner) {
        let value =
            value.split(' ').map(|word| field_name(word).unwrap_or_else(|| word.to_owned())).collect::<Vec<_>>();
        let value = if value.len() > 1 { format!("({})", value.join(" ")) } else { value.concat() };
        hint("a pipe", &format!("write a helper with its arguments in their natural order: {{{{{helper} {value}}}}}"))
    } else if [" == ", " != ", " && ", " || "].iter().any(|operator| inner.contains(operator)) {
        Some("there are no operators: write (eq a b), (ne a b), (and a b), (or a b)".to_owned())
    } else {
        let mut words = inner.split(|c: char| c.is_whitespace() || "()".contains(c));
        let (original, replacement) = words.find_map(|word| Some((word, field_name(word)?)))?;
        let why = if original == "." { "" } else { ", without the dot, and with a lower-case first letter" };
        hint(&format!("`{original}`"), &format!("write `{replacement}`{why}"))
    }
}

/// As [`tag_hint`], for a tag that opens a block in Go's templates. Handlebars reads it as a call, so the parser stops
/// much later.
pub(super) fn block_hint(tag: &str) -> Option<String> {
    let mut words = tag.trim_matches(['-', '~', ' ']).split_whitespace();
    match (words.next()?, words.next()?) {
        ("range" | "define" | "block", _) => self::tag_hint(tag),
        (first @ ("with" | "if"), second) => Some(match replacement_hint(second) {
            Some(replacement) => format!("`{second}` is from Go's templates: {replacement}"),
            None => format!("{{{{{first} …}}}} is from Go's templates: write {{{{#{first} …}}}} … {{{{/{first}}}}}"),
        }),
        _ => None,
    }
}

/// The replacement of Go's dot (`this`) or of a field (`name`).
fn field_name(word: &str) -> Option<String> {
    let field = word.strip_prefix('.')?;
    match field.chars().next() {
        None => Some("this".to_owned()),
        Some(first) => first.is_ascii_alphabetic().then(|| portreeve_field(field)),
    }
}

/// The two sides of a pipe. A `|` in a string or after `as` is not a pipe.
fn split_pipe(inner: &str) -> Option<(&str, &str)> {
    let (value, helper) = inner.split_once('|')?;
    let is_pipe = value.matches('"').count().is_multiple_of(2) && !value.trim_end().ends_with(" as");
    is_pipe.then_some((value.trim(), helper.trim()))
}

/// The Portreeve name of a consul-template field: usually the same with a lower-case first letter.
fn portreeve_field(name: &str) -> String {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let first = match first {
        "ServiceMeta" => "meta".to_owned(),
        "ServiceAddress" => "address".to_owned(),
        "ID" => "id".to_owned(),
        "Env" if !rest.is_empty() => return format!("env \"{rest}\""),
        _ => first.chars().take(1).flat_map(char::to_lowercase).chain(first.chars().skip(1)).collect(),
    };
    if rest.is_empty() { first } else { format!("{first}.{rest}") }
}

/// A hint for a name without a value, which may be a keyword, a variable or a field of Go's templates.
pub(super) fn name_hint(name: &str) -> Option<String> {
    let name = name.strip_prefix("this.").unwrap_or(name);
    let first = name.split(['.', '/']).next().unwrap_or(name);
    if let Some(replacement) = replacement_hint(first) {
        Some(format!("`{first}` is from Go's templates: {replacement}"))
    } else if let Some(rest) = name.strip_prefix(first).filter(|rest| rest.len() > 1 && helpers::find(first).is_some())
    {
        Some(format!("`{first}` is a helper: write ({first} \"{}\")", &rest[1..]))
    } else if first.len() > 2
        && first == name
        && first.bytes().all(|byte| b"_0123456789".contains(&byte) || byte.is_ascii_uppercase())
    {
        Some(format!("for a variable of the environment write (env \"{name}\")"))
    } else if first.starts_with(|c: char| c.is_ascii_uppercase()) {
        Some(format!("fields begin with a lower-case letter: write `{}`", portreeve_field(name)))
    } else {
        None
    }
}

/// The replacement for a name from consul-template. `scratch.Get` counts as `scratch`.
pub(super) fn replacement_hint(name: &str) -> Option<&'static str> {
    let word = name.split('.').next().unwrap_or(name);
    if word.starts_with('$') {
        return Some("write {{#with … as |x|}} … {{/with}}, and x without $");
    }
    REPLACEMENTS.iter().find(|(original, _)| *original == word).map(|(_, replacement)| *replacement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_hint(hint: fn(&str) -> Option<String>, written: &str, expected: &str) {
        let text = hint(written).unwrap_or_default();
        assert!(text.contains(expected), "{written}: {text}");
    }

    #[test]
    fn no_hinted_name_is_a_helper_and_each_replacement_exists() {
        for (original, replacement) in REPLACEMENTS {
            assert!(helpers::find(original).is_none(), "{original}");
            for (number, part) in replacement.split('`').enumerate().filter(|(number, _)| number % 2 == 1) {
                let name = part.split(' ').next().expect("a word");
                assert!(helpers::find(name).is_some(), "{original}: {number} {name}");
            }
        }
    }

    #[test]
    fn go_tags_have_hints() {
        for (written, replacement) in [
            (" .Name ", "write `name`, without the dot"),
            (".ServiceMeta.host", "`meta.host`"),
            ("if .Tags", "`tags`"),
            (" . ", "`.` is from Go's templates: write `this`"),
            ("#each (f .)", "write `this`"),
            (". | toUpper", "{{toUpper this}}"),
            (".Name | toUpper", "{{toUpper name}}"),
            (" $x := service \"web\" ", "{{#with … as |x|}}"),
            ("- range services -", "{{~ … ~}}"),
            ("range $i, $s := service \"web\"", "{{#each …}} … {{/each}}"),
            ("service \"web\" | toJSON", "{{toJSON (service \"web\")}}"),
            ("key \"a\" | toUpper", "{{toUpper (key \"a\")}}"),
            ("scratch.Set \"a\" 1", "{{#with … as |name|}}"),
            ("if eq a b && c", "(and a b)"),
            ("/* a */", "{{!-- … --}}"),
            (".Env.HOME", "`env \"HOME\"`"),
        ] {
            assert_hint(tag_hint, written, replacement);
        }
        assert_eq!((tag_hint("#each ("), tag_hint("a.b \""), tag_hint("../x \"")), (None, None, None));
        assert!(name_hint("end").is_some_and(|hint| hint.contains("{{/each}}")));
        assert!(name_hint("$x").is_some() && name_hint("Name").is_some_and(|hint| hint.contains("`name`")));
        assert!(name_hint("this.Name").is_some_and(|hint| hint.contains("`name`")));
        assert_eq!(name_hint("name"), None);
        for (written, replacement) in [
            ("nil", "`or` for a default"),
            ("env.FOO", "(env \"FOO\")"),
            ("service.web", "(service \"web\")"),
            ("key.app/a.b", "(key \"app/a.b\")"),
            ("DB_HOST", "(env \"DB_HOST\")"),
            ("ID", "`id`"),
        ] {
            assert_hint(name_hint, written, replacement);
        }
        for (written, replacement) in [
            (" with secret \"kv/a\" ", "Vault is not supported"),
            ("- with $x := key \"a\" -", "{{#with … as |x|}}"),
            ("if eq .A \"b\"", "{{#if …}} … {{/if}}"),
            ("range services", "{{#each …}}"),
        ] {
            assert_hint(block_hint, written, replacement);
        }
        assert_eq!((block_hint("#if a"), block_hint("key \"a\""), block_hint("if")), (None, None, None));
    }

    #[test]
    fn a_method_has_the_hint_of_its_object() {
        assert_eq!(replacement_hint("scratch.Set"), replacement_hint("scratch"));
        assert_eq!((replacement_hint("service"), replacement_hint("")), (None, None));
    }
}
