//! Waiting for something outside this process, with a deadline and a reason.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until `look` gives a value; an error of `look` is kept as the reason why it is not there yet.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let reason = match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let limit = limit.as_secs_f32();
            match reason {
                Some(error) => return Err(error.context(format!("waited {limit} s for {what}"))),
                None => bail!("waited {limit} s for {what}"),
            }
        }
        pause(INTERVAL);
    }
}

/// Sleeps: this program has no runtime whose workers it could block.
#[expect(clippy::disallowed_methods, reason = "a synchronous program waits for other processes here, and only here")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_the_reason() {
        let error = until::<()>("a page", Duration::from_millis(1), || bail!("connection refused")).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("a page") && text.contains("connection refused"), "{text}");
    }
}
