//! YAML in and out, through JSON.

/// JSON of a YAML document.
///
/// # Errors
/// A text in upstream's shape. Deep nesting, and aliases that would multiply a document, are refused while they are read: a parser that
/// reads all of it first takes a time that grows with the square of the depth.
pub fn to_json(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("error converting YAML to JSON: yaml: {error}"))?;
    let read = api::yaml::read(text).map_err(|error| error.to_string())?;
    match read.repeated.into_iter().next() {
        Some(repeated) => Err(format!("error converting YAML to JSON: yaml: {repeated}")),
        None => serde_json::to_vec(&read.value).map_err(|error| error.to_string()),
    }
}

/// YAML of a JSON document, keys in order.
pub fn of_json(json: &[u8]) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    serde_yaml::to_string(&value).unwrap_or_default().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let json = to_json(b"b: [1, two]\na: {x: null}\n").unwrap();
        assert_eq!(json, br#"{"a":{"x":null},"b":[1,"two"]}"#);
        assert_eq!(String::from_utf8(of_json(&json)).unwrap(), "a:\n  x: null\nb:\n- 1\n- two\n");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (name, of) in "bcdefghi".chars().zip("abcdefgh".chars()) {
            text.push_str(&format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n"));
        }
        let error = to_json(text.as_bytes()).unwrap_err();
        assert!(error.contains("aliases unfold to more than"), "{error}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(to_json("[".repeat(100_000).as_bytes()).is_err());
        assert!(to_json(format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)).as_bytes()).is_err());
    }
}
