//! Quantities: numbers as manifests write them (`100m`, `1.5Gi`, `1e3`), and the one form in which they are served.
//!
//! Upstream's rules: anything finer than a billionth is rounded up, a binary quantity between -1024 and 1024 or with a
//! fraction is written as a decimal one, and the largest suffix is chosen that needs no fraction.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::Quantity;

/// The family of suffixes that a quantity keeps through arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `n u m k M G T P E`.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// `e3`.
    DecimalExponent,
}

/// A parsed quantity: mantissa * 10^scale.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    mantissa: i128,
    /// At least -9. No trailing zeros in the mantissa; zero has scale 0.
    scale: i32,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Malformed,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("the quantity is too large")]
    TooLarge,
}

const NANO: i32 = -9;
const EXA: i32 = 18;

impl Amount {
    pub const ZERO: Self = Self { mantissa: 0, scale: 0, format: Format::DecimalSi };

    /// A whole number.
    pub fn from_value(value: i64, format: Format) -> Self {
        Self::normal(i128::from(value), 0, format)
    }

    /// So many thousandths.
    pub fn from_milli(milli: i64) -> Self {
        Self::normal(i128::from(milli), -3, Format::DecimalSi)
    }

    fn normal(mut mantissa: i128, mut scale: i32, format: Format) -> Self {
        if mantissa == 0 {
            return Self { mantissa: 0, scale: 0, format };
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale += 1;
        }
        Self { mantissa, scale, format }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    pub fn is_negative(&self) -> bool {
        self.mantissa < 0
    }

    /// Whether the amount is a whole number.
    pub fn is_whole(&self) -> bool {
        self.scale >= 0
    }

    /// The amount in whole numbers, rounded up (away from zero); at most what an i64 holds.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded up (away from zero); at most what an i64 holds.
    pub fn milli(&self) -> i64 {
        self.scaled(-3)
    }

    /// The amount in units of 10^scale, rounded up (away from zero); at most what an i64 holds.
    pub fn scaled(&self, scale: i32) -> i64 {
        let saturated = if self.mantissa < 0 { i64::MIN } else { i64::MAX };
        let shift = self.scale - scale;
        if shift >= 0 {
            let value = shifted_up(self.mantissa, shift);
            return value.and_then(|value| i64::try_from(value).ok()).unwrap_or(saturated);
        }
        i64::try_from(shifted_down(self.mantissa, -shift)).unwrap_or(saturated)
    }

    /// The amount as a double, as near as one comes.
    pub fn approximate(&self) -> f64 {
        self.mantissa as f64 * 10_f64.powi(self.scale)
    }

    /// The amount with nothing finer than 10^scale, rounded up (away from zero).
    pub fn round_up(&self, scale: i32) -> Self {
        if self.scale >= scale {
            return *self;
        }
        Self::normal(shifted_down(self.mantissa, scale - self.scale), scale, self.format)
    }

    /// Sum; in the other's format when this is zero.
    pub fn add(&self, other: &Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        let scale = self.scale.min(other.scale);
        let sum = self.at(scale).saturating_add(other.at(scale));
        Self::normal(sum, scale, format)
    }

    /// Difference; in the other's format when this is zero.
    pub fn sub(&self, other: &Self) -> Self {
        self.add(&other.neg())
    }

    pub fn neg(&self) -> Self {
        Self { mantissa: -self.mantissa, ..*self }
    }

    /// So many times the amount.
    pub fn times(&self, factor: i64) -> Self {
        Self::normal(self.mantissa.saturating_mul(i128::from(factor)), self.scale, self.format)
    }

    fn at(&self, scale: i32) -> i128 {
        let saturated = if self.mantissa < 0 { i128::MIN + 1 } else { i128::MAX };
        shifted_up(self.mantissa, self.scale - scale).unwrap_or(saturated)
    }

    fn whole(&self) -> Option<i128> {
        if self.scale < 0 { None } else { shifted_up(self.mantissa, self.scale) }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.min(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }
}

/// mantissa * 10^by, where it fits.
fn shifted_up(mantissa: i128, by: i32) -> Option<i128> {
    if mantissa == 0 {
        return Some(0);
    }
    let factor = 10_i128.checked_pow(u32::try_from(by).ok()?)?;
    mantissa.checked_mul(factor)
}

/// mantissa / 10^by, rounded away from zero.
fn shifted_down(mantissa: i128, by: i32) -> i128 {
    let Some(divisor) = u32::try_from(by).ok().and_then(|by| 10_i128.checked_pow(by)) else {
        return mantissa.signum();
    };
    let quotient = mantissa / divisor;
    if mantissa % divisor == 0 { quotient } else { quotient + mantissa.signum() }
}

impl FromStr for Amount {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits_end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits_end);
        let (negative, number) = match number.as_bytes().first() {
            Some(b'-') => (true, &number[1..]),
            Some(b'+') => (false, &number[1..]),
            _ => (false, number),
        };
        let (mut mantissa, places) = mantissa(number)?;
        if negative {
            mantissa = -mantissa;
        }
        let (factor, exponent, mut format) = suffix_of(suffix)?;
        mantissa = mantissa.checked_mul(factor).ok_or(ParseError::TooLarge)?;
        let mut scale = exponent - places;
        if scale < NANO {
            mantissa = shifted_down(mantissa, NANO - scale);
            scale = NANO;
        }
        let mut amount = Self::normal(mantissa, scale, format);
        if format == Format::BinarySi {
            let limit = Self::normal(i128::from(i64::MAX), 0, format);
            let size = Self::normal(amount.mantissa.saturating_abs(), amount.scale, format);
            if size > limit {
                amount = if negative { limit.neg() } else { limit };
            } else if !size.is_zero() && size < Self::normal(1, 0, format) {
                format = Format::DecimalSi;
            }
        }
        Ok(Self { format, ..amount })
    }
}

/// The digits as one number, and how many of them follow the point.
fn mantissa(number: &str) -> Result<(i128, i32), ParseError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(ParseError::Malformed);
    }
    // Digits past the billionth only decide whether to round up.
    let fraction = fraction.trim_end_matches('0');
    let mut value = 0_i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return Err(ParseError::Malformed);
        }
        let next = value.checked_mul(10).and_then(|value| value.checked_add(i128::from(byte - b'0')));
        value = next.ok_or(ParseError::TooLarge)?;
    }
    Ok((value, i32::try_from(fraction.len()).map_err(|_| ParseError::TooLarge)?))
}

/// What a suffix stands for: a factor, a power of ten, and its family.
fn suffix_of(suffix: &str) -> Result<(i128, i32, Format), ParseError> {
    let decimal = |exponent| Ok((1, exponent, Format::DecimalSi));
    let binary = |power: u32| Ok((1_i128 << (10 * power), 0, Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => exponent_of(suffix),
    }
}

fn exponent_of(suffix: &str) -> Result<(i128, i32, Format), ParseError> {
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(ParseError::Suffix)?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(if unsigned.is_empty() { ParseError::Suffix } else { ParseError::Malformed });
    }
    let exponent: i32 = digits.parse().map_err(|_| ParseError::TooLarge)?;
    if exponent.abs() > 1000 {
        return Err(ParseError::TooLarge);
    }
    Ok((1, exponent, Format::DecimalExponent))
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some(whole) = self.whole()
            && whole.unsigned_abs() >= 1024
        {
            return write_binary(f, whole);
        }
        let (mut mantissa, mut exponent) = (self.mantissa, self.scale);
        while exponent % 3 != 0 || (self.format != Format::DecimalExponent && exponent > EXA) {
            mantissa = mantissa.saturating_mul(10);
            exponent -= 1;
        }
        write!(f, "{mantissa}")?;
        if exponent == 0 {
            return Ok(());
        }
        if self.format == Format::DecimalExponent {
            return write!(f, "e{exponent}");
        }
        f.write_str(match exponent {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            _ => "E",
        })
    }
}

fn write_binary(f: &mut fmt::Formatter<'_>, mut whole: i128) -> fmt::Result {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut power = 0;
    while whole % 1024 == 0 && power + 1 < SUFFIXES.len() {
        whole /= 1024;
        power += 1;
    }
    write!(f, "{whole}{}", SUFFIXES[power])
}

/// The form in which a quantity is served.
pub fn canonical(text: &str) -> Result<String, ParseError> {
    text.parse::<Amount>().map(|amount| amount.to_string())
}

impl Quantity {
    /// Reads a quantity and keeps its canonical form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { string: canonical(text)? })
    }

    /// The amount; zero where the text is no quantity (an absent one is empty).
    pub fn amount(&self) -> Amount {
        self.string.parse().unwrap_or(Amount::ZERO)
    }
}

impl From<Amount> for Quantity {
    fn from(amount: Amount) -> Self {
        Self { string: amount.to_string() }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.string.is_empty() { "0" } else { &self.string })
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Format, ParseError, canonical};

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(canonical(text).as_deref(), Ok(expect), "{text}");
    }

    #[test]
    fn the_largest_suffix_without_fraction_is_chosen() {
        check("1.0", "1");
        check("1.5Gi", "1536Mi");
        check("1e-1", "100e-3");
        check("100000k", "100M");
        check("0.5", "500m");
        check("1024", "1024");
        check("1024Ki", "1Mi");
        check("1000Ki", "1000Ki");
        check("0.1Gi", "107374182400m");
        check("1Ki", "1Ki");
        check("0.5Ki", "512");
        check("0.5", "500m");
        check("1e3", "1e3");
        check("12e2", "1200");
        check("-1500m", "-1500m");
        check("+5", "5");
        check("0Gi", "0");
        check("1000E", "1000E");
        check("5.", "5");
        check(".5", "500m");
    }

    #[test]
    fn finer_than_a_billionth_is_rounded_up() {
        check("0.0000000001", "1n");
        check("1.0000000001", "1000000001n");
        check("-0.0000000001", "-1n");
    }

    #[test]
    fn malformed_quantities_are_refused() {
        for text in ["", ".", "1..2", "xyz", "1.2.3", "--1", "1-2"] {
            assert!(canonical(text).is_err(), "{text}");
        }
        for text in ["1ki", "1K", "1i", "1mm", "1e"] {
            assert_eq!(canonical(text), Err(ParseError::Suffix), "{text}");
        }
    }

    #[test]
    fn arithmetic_keeps_the_first_format() {
        let one: Amount = "1Gi".parse().expect("a quantity");
        let two: Amount = "500m".parse().expect("a quantity");
        assert_eq!(one.add(&one).to_string(), "2Gi");
        assert_eq!(Amount::ZERO.add(&one).format(), Format::BinarySi);
        assert_eq!(two.add(&two).to_string(), "1");
        assert_eq!(two.milli(), 500);
        assert_eq!(two.value(), 1);
        assert!(two < one);
    }
}
