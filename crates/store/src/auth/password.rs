//! Passwords, hashed by bcrypt as etcd hashes them. Slow by intent: for a thread of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What etcd takes for --bcrypt-cost, and its default.
pub const COST_MIN: u32 = 4;
pub const COST_MAX: u32 = 31;
pub const COST: u32 = 10;

/// The hash of a password, as commands carry it; none for a password that bcrypt does not take (more than 72 bytes).
pub fn hash(password: &str, cost: u32, salt: [u8; 16]) -> Option<String> {
    let parts = bcrypt::non_truncating_hash_with_salt(password, cost, salt).ok()?;
    // etcd's own spelling of the version.
    Some(STANDARD.encode(parts.format_for_version(bcrypt::Version::TwoA)))
}

/// Whether the password belongs to the stored hash.
pub fn matches(password: &str, stored: &[u8]) -> bool {
    std::str::from_utf8(stored).is_ok_and(|hash| bcrypt::verify(password, hash).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_its_own_hash_only() {
        let hash = hash("secret", COST_MIN, [7; 16]).expect("a hash");
        let stored = STANDARD.decode(hash).expect("base64");
        assert!(stored.starts_with(b"$2a$04$"));
        assert!(matches("secret", &stored) && !matches("Secret", &stored) && !matches("secret", b""));
    }

    #[test]
    fn what_bcrypt_does_not_take_whole_is_refused() {
        assert!(hash(&"x".repeat(73), COST_MIN, [7; 16]).is_none());
        assert!(hash(&"x".repeat(71), COST_MIN, [7; 16]).is_some());
    }
}
