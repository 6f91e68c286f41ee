//! Values that are a number or a string: ports by number or name, counts or percentages.

use proto::IntOrString;

/// A number.
pub fn from_int(value: i32) -> IntOrString {
    IntOrString { r#type: 0, int_val: value, str_val: String::new() }
}

/// A string.
pub fn from_string(text: impl Into<String>) -> IntOrString {
    IntOrString { r#type: 1, int_val: 0, str_val: text.into() }
}

/// A number where the text is one, else a string: as a command line means it.
pub fn parse(text: &str) -> IntOrString {
    text.parse().map_or_else(|_| from_string(text), from_int)
}

pub fn is_string(value: &IntOrString) -> bool {
    value.r#type == 1
}

/// As it is written.
pub fn text(value: &IntOrString) -> String {
    if is_string(value) { value.str_val.clone() } else { value.int_val.to_string() }
}

/// The number, or what the string stands for; zero for a string that is no number.
pub fn int_value(value: &IntOrString) -> i32 {
    if is_string(value) { value.str_val.parse().unwrap_or(0) } else { value.int_val }
}

/// `50%` as 50. `None` for a number and for any other string.
pub fn percent(value: &IntOrString) -> Option<i32> {
    if !is_string(value) {
        return None;
    }
    let digits = value.str_val.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The number, or the percentage of `total`, rounded up or down. `None` for a string that is no percentage.
pub fn scaled(value: &IntOrString, total: i32, round_up: bool) -> Option<i32> {
    if !is_string(value) {
        return Some(value.int_val);
    }
    let hundredths = i64::from(percent(value)?) * i64::from(total);
    let scaled = if round_up { (hundredths + 99).div_euclid(100) } else { hundredths.div_euclid(100) };
    i32::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_as_asked() {
        let quarter = from_string("25%");
        assert_eq!(scaled(&quarter, 3, true), Some(1));
        assert_eq!(scaled(&quarter, 3, false), Some(0));
        assert_eq!(scaled(&from_int(7), 3, true), Some(7));
        assert_eq!(scaled(&from_string("many"), 3, true), None);
    }

    #[test]
    fn a_number_in_text_is_a_number() {
        assert_eq!(parse("80"), from_int(80));
        assert_eq!(parse("http"), from_string("http"));
        assert_eq!(text(&parse("25%")), "25%");
    }
}
