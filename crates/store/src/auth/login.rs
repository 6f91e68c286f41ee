//! How callers of this member are known: what the flags chose.

use tokio::sync::Semaphore;

use super::jwt::{Jwt, JwtError, Options};
use super::password;

/// Passwords hashed at once; the rest wait, so that guessing cannot take every processor.
const HASHING_MAX: usize = 2;

/// What a token is.
#[derive(Default)]
pub enum Provider {
    /// A random word that members remember.
    #[default]
    Simple,
    Jwt(Box<Jwt>),
}

impl Provider {
    /// The value of --auth-token.
    pub fn load(flag: &str) -> Result<Self, JwtError> {
        match flag.split_once(',').unwrap_or((flag, "")) {
            ("simple", "") | ("", "") => Ok(Self::Simple),
            ("jwt", words) => Ok(Self::Jwt(Box::new(Jwt::load(&Options::parse(words)?)?))),
            _ => Err(JwtError::Form(flag.to_owned())),
        }
    }
}

pub struct Login {
    pub provider: Provider,
    pub bcrypt_cost: u32,
    /// Whether a client certificate's common name is a user (--client-cert-auth).
    pub certificates: bool,
    pub hashing: Semaphore,
}

impl Login {
    pub fn new(provider: Provider, bcrypt_cost: u32, certificates: bool) -> Self {
        Self { provider, bcrypt_cost, certificates, hashing: Semaphore::new(HASHING_MAX) }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self::new(Provider::Simple, password::COST, false)
    }
}
