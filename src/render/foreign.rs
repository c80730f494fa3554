//! Names of consul-template and of Go's templates that are no helpers here: what to write in their place. Pure.

/// Name, and what stands for it here.
const WORDS: &[(&str, &str)] = &[
    ("keyOrDefault", "`keyOr`"),
    ("envOrDefault", "`envOr`"),
    ("safeLs", "`ls … min=1`"),
    ("safeTree", "`tree … min=1`"),
    ("explodeMap", "`explode`"),
    ("mergeMap", "`merge`"),
    ("mergeMapWithOverride", "`merge … override=true`"),
    ("range", "{{#each …}} … {{/each}}"),
    ("template", "{{> name}}"),
    ("define", "{{#*inline \"name\"}} … {{/inline}}"),
    ("block", "{{#> name}} … {{/name}}"),
    ("executeTemplate", "{{> name}}"),
    ("index", "`lookup`"),
    ("le", "`lte`"),
    ("ge", "`gte`"),
    ("print", "`concat`"),
    ("printf", "`concat`, with `padLeft` or `round` for widths"),
    ("timestamp", "nothing: the same data give the same bytes"),
    ("writeToFile", "`each` of a [[target.template]]"),
    ("scratch", "{{#with … as |name|}}, or `dict`"),
    ("-", "{{~ … ~}}"),
];

/// What stands here for a name that a template brings along from consul-template. `scratch.Get` is a `scratch`.
pub(super) fn meaning(name: &str) -> Option<&'static str> {
    let word = name.split('.').next().unwrap_or(name);
    WORDS.iter().find(|(there, _)| *there == word).map(|(_, here)| *here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::helpers;

    #[test]
    fn no_name_means_something_here_and_what_is_named_exists() {
        for (there, here) in WORDS {
            assert!(helpers::find(there).is_none(), "{there}");
            for (number, part) in here.split('`').enumerate().filter(|(number, _)| number % 2 == 1) {
                let name = part.split(' ').next().expect("a word");
                assert!(helpers::find(name).is_some(), "{there}: {number} {name}");
            }
        }
    }

    #[test]
    fn a_method_is_known_by_its_object() {
        assert_eq!(meaning("scratch.Set"), meaning("scratch"));
        assert_eq!((meaning("service"), meaning("")), (None, None));
    }
}
