//! One value or another. What counts as no for `if` counts as no here.

use handlebars::JsonTruthy;
use serde_json::Value;

use super::{Call, Definition, MANY, pure};

pub(super) const ALL: &[Definition] = &[
    pure("default", 2..=2, &[], first_of),
    pure("coalesce", 2..=MANY, &[], first_of),
    pure("choose", 3..=3, &[], choose),
];

/// The first argument that counts, else the last one.
fn first_of(call: &Call<'_, '_>) -> Result<Value, String> {
    let last = call.len() - 1;
    let found = (0..last).filter_map(|index| call.known(index)).find(|value| value.is_truthy(false));
    found.map_or_else(|| call.value(last), Ok).cloned()
}

/// The second argument if the first counts, else the third.
fn choose(call: &Call<'_, '_>) -> Result<Value, String> {
    let counts = call.known(0).is_some_and(|value| value.is_truthy(false));
    call.value(if counts { 1 } else { 2 }).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::fixture::{fails, gives};

    #[test]
    fn the_first_that_counts_is_taken() {
        let data = json!({"empty": "", "zero": 0, "a": "x", "meta": {}});
        gives(
            &data,
            &[
                (r#"(default a "d")"#, "\"x\""),
                (r#"(default empty "d")"#, "\"d\""),
                ("(default zero 80)", "80"),
                (r#"(default meta.weight 1)"#, "1"),
                (r#"(default empty "")"#, "\"\""),
                (r#"(coalesce meta.a empty zero a "d")"#, "\"x\""),
                (r#"(coalesce meta.a empty "d")"#, "\"d\""),
                (r#"(choose a 1 2)"#, "1"),
                (r#"(choose meta.a nothing 2)"#, "2"),
            ],
        );
        fails(
            &data,
            &[
                ("(default meta.a meta.b)", "default: there is no value `meta.b` here"),
                ("(choose a nothing 2)", "choose: there is no value `nothing` here"),
            ],
        );
    }
}
