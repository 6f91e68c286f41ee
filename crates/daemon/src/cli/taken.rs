//! Values of settings without a choice here: what is done anyway is taken, what asks for something else is refused.

/// true, where nothing else is possible.
pub fn only_true(text: &str) -> Result<bool, String> {
    if text == "true" { Ok(true) } else { Err("only true is possible here".to_owned()) }
}

/// false, where nothing else is possible.
pub fn only_false(text: &str) -> Result<bool, String> {
    if text == "false" { Ok(false) } else { Err("only false is possible here".to_owned()) }
}

/// `Name=true`, one of upstream's feature gates.
pub fn feature_gate(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, "true" | "false")) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not like Name=true")),
    }
}

/// A line for each flag that was `given` and changes nothing: (given, flag, reason).
pub fn without_effect(flags: &[(bool, &str, &str)]) -> Vec<String> {
    let given = flags.iter().filter(|(given, ..)| *given);
    given.map(|(_, flag, reason)| format!("--{flag} has no effect: {reason}")).collect()
}
