//! Signals by name, as images and specs write them. Pure.

/// "SIGUSR1", "USR1" or "10".
pub fn number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let name = name.to_uppercase();
    let full = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    if let Some(offset) = full.strip_prefix("SIGRTMIN") {
        const RTMIN: u32 = 34;
        return if offset.is_empty() {
            Some(RTMIN)
        } else {
            Some(RTMIN + offset.strip_prefix('+')?.parse::<u32>().ok()?)
        };
    }
    full.parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as u32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_read_with_and_without_prefix() {
        let numbers = ["SIGTERM", "term", "9", "SIGRTMIN+3", "SIGRTMIN"].map(super::number);
        assert_eq!(numbers, [Some(15), Some(15), Some(9), Some(37), Some(34)]);
        assert_eq!(super::number("NOPE"), None);
    }
}
