//! Numbers in templates: integers and floats.

use std::cmp::Ordering;

use serde_json::Value;

/// A number that was passed to a helper.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i64),
    /// Always finite.
    Float(f64),
}

impl Number {
    /// Reads a number, or a text that contains one. `None` for an integer that does not fit into 64 bits: rounding would
    /// change it.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) if number.is_f64() => number.as_f64().map(Self::Float),
            Value::Number(number) => number.as_i64().map(Self::Integer),
            Value::String(text) => Self::parse(text),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().ok().map(Self::Integer)
        } else {
            text.parse().ok().filter(|real: &f64| real.is_finite()).map(Self::Float)
        }
    }

    /// As a JSON value; an error if it is infinite or NaN.
    pub(super) fn to_json(self) -> Result<Value, String> {
        match self {
            Self::Integer(number) => Ok(number.into()),
            Self::Float(number) => serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| "the result is too large for a number".to_owned()),
        }
    }

    /// The nearest float.
    pub(super) fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "mixed arithmetic has the precision of floats")]
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// A total order: integers that are equal as floats are compared as integers.
    pub(super) fn total_cmp(self, other: Self) -> Ordering {
        let integer = |number| match number {
            Self::Integer(number) => number,
            #[expect(clippy::cast_possible_truncation, reason = "only used if it equals an integer")]
            Self::Float(real) => real as i64,
        };
        self.as_f64().total_cmp(&other.as_f64()).then_with(|| integer(self).cmp(&integer(other)))
    }
}
