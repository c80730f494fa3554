//! A number as templates know it: whole, or with a point.

use std::cmp::Ordering;

use serde_json::Value;

/// A number that a helper was given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i64),
    /// Never infinite, and always a number.
    Float(f64),
}

impl Number {
    /// Reads a number, or a text that is one. Whole numbers that do not fit are none, rather than others.
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

    /// A value of JSON; an error if it is infinite, or no number at all.
    pub(super) fn to_json(self) -> Result<Value, String> {
        match self {
            Self::Integer(number) => Ok(number.into()),
            Self::Float(number) => serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| "the result is too large for a number".to_owned()),
        }
    }

    /// The nearest number with a point.
    pub(super) fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "mixed arithmetic is as exact as numbers with a point are")]
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// A total order: numbers that are the same with a point are told apart by their whole part.
    pub(super) fn total_cmp(self, other: Self) -> Ordering {
        let whole = |number| match number {
            Self::Integer(whole) => whole,
            #[expect(clippy::cast_possible_truncation, reason = "only asked when it equals a whole number")]
            Self::Float(real) => real as i64,
        };
        self.as_f64().total_cmp(&other.as_f64()).then_with(|| whole(self).cmp(&whole(other)))
    }
}
