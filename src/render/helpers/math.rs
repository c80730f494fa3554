//! Arithmetic. Integers stay integers, and an overflow is an error; a float makes the result a float.

use serde_json::Value;

use super::{HelperCall, HelperDefinition, UNLIMITED, call::describe, number::Number, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("add", 1..=UNLIMITED, &[], |call| fold(call, i64::checked_add, |a, b| a + b)),
    pure_helper("subtract", 2..=2, &[], |call| pair(call, i64::checked_sub, |a, b| a - b)),
    pure_helper("multiply", 1..=UNLIMITED, &[], |call| fold(call, i64::checked_mul, |a, b| a * b)),
    pure_helper("divide", 2..=2, &[], divide),
    pure_helper("modulo", 2..=2, &[], modulo),
    pure_helper("minimum", 1..=UNLIMITED, &[], |call| select_by(call, |new, old| new.total_cmp(old).is_lt())),
    pure_helper("maximum", 1..=UNLIMITED, &[], |call| select_by(call, |new, old| new.total_cmp(old).is_gt())),
    pure_helper("round", 1..=2, &[], round),
    pure_helper("floor", 1..=1, &[], |call| to_whole(call.number(0)?, f64::floor)),
    pure_helper("ceil", 1..=1, &[], |call| to_whole(call.number(0)?, f64::ceil)),
    pure_helper("abs", 1..=1, &[], abs),
];

type IntegerOp = fn(i64, i64) -> Option<i64>;
type FloatOp = fn(f64, f64) -> f64;

fn combine(a: Number, b: Number, integer: IntegerOp, float: FloatOp) -> Result<Number, String> {
    match (a, b) {
        (Number::Integer(a), Number::Integer(b)) => integer(a, b).map(Number::Integer).ok_or_else(overflow_message),
        _ => Ok(Number::Float(float(a.as_f64(), b.as_f64()))),
    }
}

fn pair(call: &HelperCall<'_, '_>, integer: IntegerOp, float: FloatOp) -> Result<Value, String> {
    combine(call.number(0)?, call.number(1)?, integer, float)?.to_json()
}

fn fold(call: &HelperCall<'_, '_>, integer: IntegerOp, float: FloatOp) -> Result<Value, String> {
    let mut numbers = numbers(call)?.into_iter();
    let first = numbers.next().ok_or("no numbers are given")?;
    numbers.try_fold(first, |sum, number| combine(sum, number, integer, float))?.to_json()
}

fn select_by(call: &HelperCall<'_, '_>, better: fn(Number, Number) -> bool) -> Result<Value, String> {
    let numbers = numbers(call)?.into_iter();
    numbers.reduce(|old, new| if better(new, old) { new } else { old }).ok_or("no numbers are given")?.to_json()
}

/// The arguments, or the members of the list that is the only argument.
fn numbers(call: &HelperCall<'_, '_>) -> Result<Vec<Number>, String> {
    let read = |(index, value): (usize, &&Value)| {
        Number::from_json(value)
            .ok_or_else(|| format!("number {} is not a valid number: {}", index + 1, describe(value)))
    };
    call.spread_values(0)?.iter().enumerate().map(read).collect()
}

fn divide(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let divisor = call.number(1)?;
    if divisor.as_f64() == 0.0 {
        return Err("argument 2 is 0".to_owned());
    }
    combine(call.number(0)?, divisor, i64::checked_div, |a, b| a / b)?.to_json()
}

fn modulo(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    match (call.integer(0)?, call.integer(1)?) {
        (_, 0) => Err("argument 2 is 0".to_owned()),
        // `i64::MIN % -1` overflows, although its result is 0.
        (_, -1) => Ok(0.into()),
        (a, b) => Ok((a % b).into()),
    }
}

/// Rounds to the given number of decimal places, halves away from zero; without the second argument to an integer.
fn round(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let number = call.number(0)?;
    if call.len() == 1 {
        return to_whole(number, f64::round);
    }
    let digits = call.count(1)?;
    if digits > 15 {
        return Err(call.type_error(1, "15 or less"));
    }
    match number {
        Number::Integer(_) => number.to_json(),
        Number::Float(real) => {
            let factor = (0..digits).fold(1.0, |factor, _| factor * 10.0);
            let scaled = (real * factor).round();
            // A number that is too large for the factor has no decimal places.
            Number::Float(if scaled.is_finite() { scaled / factor } else { real }).to_json()
        }
    }
}

fn to_whole(number: Number, round: fn(f64) -> f64) -> Result<Value, String> {
    match number {
        Number::Integer(_) => number.to_json(),
        Number::Float(real) => {
            // The first float beyond the range of `i64`.
            const LIMIT: f64 = 9_223_372_036_854_775_808.0;
            let rounded = round(real);
            if !(-LIMIT..LIMIT).contains(&rounded) {
                return Err(overflow_message());
            }
            #[expect(clippy::cast_possible_truncation, reason = "it is an integer within the limits")]
            Ok((rounded as i64).into())
        }
    }
}

fn abs(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    match call.number(0)? {
        Number::Integer(number) => number.checked_abs().map(Value::from).ok_or_else(overflow_message),
        Number::Float(number) => Number::Float(number.abs()).to_json(),
    }
}

fn overflow_message() -> String {
    "the result is too large for a whole number of 64 bits".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::render::helpers::test_support::{assert_errors, assert_values};

    #[test]
    fn integers_stay_integers() {
        assert_values(
            &json!({"ports": [443, 80, 8080], "text": "7"}),
            &[
                ("(add 1 2)", "3"),
                ("(add 1 2 3 -10)", "-4"),
                ("(add 1 2.5)", "3.5"),
                ("(add text 1)", "8"),
                ("(add ports)", "8603"),
                ("(subtract 5 2)", "3"),
                ("(multiply 2 3 4)", "24"),
                ("(multiply 2 0.5)", "1.0"),
                ("(divide 10 4)", "2"),
                ("(divide -7 2)", "-3"),
                ("(divide 10 4.0)", "2.5"),
                ("(divide 10.0 4)", "2.5"),
                ("(modulo 7 3)", "1"),
                ("(modulo -7 3)", "-1"),
                ("(modulo -9223372036854775808 -1)", "0"),
                ("(minimum ports)", "80"),
                ("(maximum 1 2.5 2)", "2.5"),
                ("(maximum 3)", "3"),
                ("(round 2.5)", "3"),
                ("(round -2.5)", "-3"),
                ("(round 2.675 2)", "2.68"),
                ("(round 1.25 1)", "1.3"),
                ("(round 7 2)", "7"),
                ("(floor -1.5)", "-2"),
                ("(ceil 1.2)", "2"),
                ("(floor 3)", "3"),
                ("(abs -3)", "3"),
                ("(abs -3.5)", "3.5"),
            ],
        );
    }

    #[test]
    fn operation_without_result_is_an_error() {
        assert_errors(
            &Value::Null,
            &[
                ("(divide 1 0)", "divide: argument 2 is 0"),
                ("(divide 1 0.0)", "divide: argument 2 is 0"),
                ("(modulo 1 0)", "modulo: argument 2 is 0"),
                ("(modulo 1.5 1)", "modulo: argument 1 must be a whole number, not 1.5"),
                ("(add 9223372036854775807 1)", "add: the result is too large"),
                ("(divide -9223372036854775808 -1)", "divide: the result is too large"),
                ("(abs -9223372036854775808)", "abs: the result is too large"),
                ("(add 18446744073709551615 1)", "add: number 1 is not a valid number: 18446744073709551615"),
                ("(floor \"1e300\")", "floor: the result is too large"),
                ("(multiply \"1e300\" \"1e300\")", "multiply: the result is too large"),
                ("(subtract 1 \"x\")", "subtract: argument 2 must be a number, not \"x\""),
                ("(add \"inf\" 1)", "add: number 1 is not a valid number: \"inf\""),
                ("(minimum [])", "minimum: no numbers are given"),
                ("(round 1.5 16)", "round: argument 2 must be 15 or less, not 16"),
                ("(round 1.5 -1)", "round: argument 2 must be 0 or more, not -1"),
            ],
        );
    }
}
