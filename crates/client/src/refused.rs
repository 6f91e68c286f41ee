//! A connection that says why it ended before the server's first word: most likely our certificate was refused.
//!
//! In TLS 1.3 a server looks at its caller's certificate when the caller's handshake is over already. Its refusal comes as an
//! alert with the first read or, where it crossed what we sent meanwhile, as a closed connection without a word.
//! (`daemon` has the same for its own callers: neither crate may use the other.)

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why the newest connection ended before the server's first word, if it did so. What gRPC tells of a connection's end does
/// not always hold the reason: the call that began it may have been "canceled".
#[derive(Clone, Debug, Default)]
pub struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    fn set(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The reason of a failed call with what is known of the connection.
    pub fn beside(&self, reason: String) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_ref().filter(|known| !reason.contains(known.as_str())) {
            Some(known) => format!("{reason}; {known}"),
            None => reason,
        }
    }
}

/// A stream; what ends it before the server's first word is told with the certificate that was shown.
pub struct Watched<S> {
    stream: S,
    /// None once the server has said something: then the certificate was taken.
    silent: Option<Shown>,
}

/// What to do about a refusal.
fn mend(alert: &io::Error) -> &'static str {
    if alert.to_string().contains("CertificateExpired") {
        return "it has expired: issue a new one, or check the clocks of both machines";
    }
    "issue one from its --client-ca-file"
}

/// What was shown to whom.
#[derive(Debug)]
pub struct Shown {
    /// The server.
    pub server: String,
    /// The file of our certificate.
    pub certificate: String,
    /// Where a refusal is noted.
    pub refusal: Refusal,
}

impl Shown {
    fn tell(&self, error: Option<&io::Error>) -> io::Error {
        let Self { server, certificate, refusal } = self;
        let alert = error.filter(|error| error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()));
        let kind = error.map_or(io::ErrorKind::UnexpectedEof, io::Error::kind);
        let text = match alert {
            Some(alert) => format!("{server} refuses our certificate ({certificate}): {alert}; {}", mend(alert)),
            None => format!(
                "{server} closed the connection right after the TLS handshake, as servers do that refuse a certificate \
                 (ours is {certificate}); issue one from its --client-ca-file"
            ),
        };
        refusal.set(Some(text.clone()));
        io::Error::new(kind, text)
    }
}

impl<S> Watched<S> {
    /// Watches a stream whose handshake is done; `shown`: nothing where we showed no certificate.
    pub fn new(stream: S, shown: Option<Shown>) -> Self {
        Self { stream, silent: shown }
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// A failed write in its own words; where the server said why before it closed, in the server's.
    fn failed(&mut self, ctx: &mut Context<'_>, error: io::Error) -> io::Error {
        if self.silent.is_none() {
            return error;
        }
        let mut one = [0];
        match Pin::new(&mut *self).poll_read(ctx, &mut ReadBuf::new(&mut one)) {
            Poll::Ready(Err(told)) => told,
            _ => self.silent.as_ref().map_or(error, |shown| shown.tell(None)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, ctx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (room, before) = (into.remaining(), into.filled().len());
        let polled = Pin::new(&mut this.stream).poll_read(ctx, into);
        let Some(shown) = &this.silent else { return polled };
        match polled {
            Poll::Ready(Err(error)) => Poll::Ready(Err(shown.tell(Some(&error)))),
            Poll::Ready(Ok(())) if room > 0 && into.filled().len() == before => Poll::Ready(Err(shown.tell(None))),
            Poll::Ready(Ok(())) if room > 0 => {
                shown.refusal.set(None);
                this.silent = None;
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(ctx, bytes);
        polled.map_err(|error| this.failed(ctx, error))
    }

    fn poll_flush(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(ctx);
        polled.map_err(|error| this.failed(ctx, error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(ctx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn shown(refusal: &Refusal) -> Shown {
        Shown { server: "host:1".into(), certificate: "/pki/own.crt".into(), refusal: refusal.clone() }
    }

    fn watched<S>(stream: S) -> Watched<S> {
        Watched::new(stream, Some(shown(&Refusal::default())))
    }

    #[tokio::test]
    async fn an_end_before_the_first_word_names_the_certificate() {
        let (ours, theirs) = tokio::io::duplex(64);
        drop(theirs);
        let mut stream = watched(ours);
        let text = stream.read_u8().await.expect_err("closed").to_string();
        assert!(text.contains("host:1") && text.contains("/pki/own.crt"), "{text}");
        let written = stream.write_all(b"x").await.expect_err("closed").to_string();
        assert!(written.contains("/pki/own.crt"), "{written}");
    }

    #[tokio::test]
    async fn what_the_server_said_is_told() {
        struct Alert;
        impl AsyncRead for Alert {
            fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, alert)))
            }
        }
        let text = watched(Alert).read_u8().await.expect_err("refused").to_string();
        assert!(text.contains("/pki/own.crt") && text.contains("UnknownCA"), "{text}");
    }

    #[tokio::test]
    async fn an_end_after_the_first_word_is_an_end() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"hi").await.expect("room");
        drop(theirs);
        let mut stream = watched(ours);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an orderly end");
        assert_eq!(text, "hi");
    }

    #[tokio::test]
    async fn a_refusal_is_known_beside_a_call_that_lost_it_until_a_server_speaks() {
        let refusal = Refusal::default();
        assert_eq!(refusal.beside("canceled".into()), "canceled");
        let (ours, theirs) = tokio::io::duplex(64);
        drop(theirs);
        let told = Watched::new(ours, Some(shown(&refusal))).read_u8().await.expect_err("closed").to_string();
        assert_eq!(refusal.beside("canceled".into()), format!("canceled; {told}"));
        assert_eq!(refusal.beside(told.clone()), told, "once");
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"hi").await.expect("room");
        Watched::new(ours, Some(shown(&refusal))).read_u8().await.expect("a word");
        assert_eq!(refusal.beside("canceled".into()), "canceled");
    }
}
