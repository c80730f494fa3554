//! Selects one of several values. A value is truthy if `if` accepts it.

use handlebars::JsonTruthy;
use serde_json::Value;

use super::{HelperCall, HelperDefinition, UNLIMITED, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("default", 2..=2, &[], first_of),
    pure_helper("coalesce", 2..=UNLIMITED, &[], first_of),
    pure_helper("choose", 3..=3, &[], choose),
];

/// The first truthy argument, or else the last one.
fn first_of(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let last = call.len() - 1;
    let found = (0..last).filter_map(|index| call.get(index)).find(|value| value.is_truthy(false));
    found.map_or_else(|| call.value(last), Ok).cloned()
}

/// The second argument if the first is truthy, else the third.
fn choose(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let is_truthy = call.get(0).is_some_and(|value| value.is_truthy(false));
    call.value(if is_truthy { 1 } else { 2 }).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn first_truthy_value_is_selected() {
        let data = json!({"empty": "", "zero": 0, "a": "x", "meta": {}});
        assert_values(
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
        assert_errors(
            &data,
            &[
                ("(default meta.a meta.b)", "default: there is no value `meta.b` here"),
                ("(choose a nothing 2)", "choose: there is no value `nothing` here"),
            ],
        );
    }
}
