//! Numbers as Go's programs read and print them, since texts of refusals show them.

use serde_json::Number;

/// A number of an object: whole where it is written so and fits 64 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Real {
    Whole(i64),
    Float(f64),
}

impl Real {
    pub fn of(number: &Number) -> Self {
        number.as_i64().map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::INFINITY)), Self::Whole)
    }

    #[allow(clippy::cast_precision_loss, reason = "bounds are compared as floats where either is one")]
    pub fn float(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// True for a float that has no fraction as well.
    pub fn is_whole(self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Float(number) => number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0,
        }
    }

    pub fn text(self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Float(number) => float(number),
        }
    }
}

/// A float in the shortest form that reads back, with an exponent from a million upwards and below 1e-4.
pub fn float(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let short = format!("{number:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_as_go_prints_them() {
        let all = [1.5, 100.0, 1e6, 123_456_789.0, 1e21, 0.0001, 0.00001, 2.5e-7].map(float);
        assert_eq!(all, ["1.5", "100", "1e+06", "1.23456789e+08", "1e+21", "0.0001", "1e-05", "2.5e-07"]);
    }
}
