//! Ends a connection from where its requests are answered.

use tokio_util::sync::CancellationToken;

/// Hangs up on the caller of a request. Every request has it as an extension.
#[derive(Clone, Debug)]
pub struct Hangup(CancellationToken);

impl Hangup {
    /// Cancels this token.
    pub fn new(token: CancellationToken) -> Self {
        Self(token)
    }

    /// Ends the connection, and whatever else is answered on it, at once.
    pub fn now(&self) {
        self.0.cancel();
    }
}
