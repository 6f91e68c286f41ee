//! Webhooks: where they are, and one call of them. What is asked and answered is the caller's matter (`admit::others`,
//! `custom::conversion`).

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::outbound::{Bounds, Destination, Error, Outbound, Place, Trust};

/// Largest answer of a webhook, in bytes: an object of the largest size with a patch of all of it, in base64.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How much of a refusal's text is told on.
const TOLD_LEN_MAX: usize = 256;
const PORT: u16 = 443;

/// A Service, as configurations name it.
#[derive(Debug, Clone, Copy)]
pub struct ServiceName<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// Empty or `/` where the webhook answers at the root.
    pub path: &'a str,
    /// None: 443.
    pub port: Option<i32>,
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    to: Destination,
    /// Path and query, without the timeout.
    path: String,
}

impl Webhook {
    /// At the URL, else at the Service. The error says what the configuration lacks.
    pub fn new(url: Option<&str>, service: Option<ServiceName<'_>>, ca_bundle: &[u8]) -> Result<Self, String> {
        let (place, path) = match (url, service) {
            (Some(url), _) => split(url)?,
            (None, Some(service)) => {
                let port = service.port.map_or(Ok(PORT), u16::try_from);
                let port = port.map_err(|_| format!("port {} is none", service.port.unwrap_or_default()))?;
                let (namespace, name) = (service.namespace.to_owned(), service.name.to_owned());
                let path = if service.path.starts_with('/') { service.path } else { "/" };
                (Place::Service { namespace, name, port }, path.to_owned())
            }
            (None, None) => return Err("neither a url nor a service is given".to_owned()),
        };
        let trust = Trust::of(ca_bundle, false);
        Ok(Self { to: Destination { place, trust, identify: false }, path })
    }

    /// Sends JSON and gives the answer's. The error is a text as clients read it.
    pub async fn call(&self, outbound: &Outbound, body: Vec<u8>, timeout: Duration) -> Result<Bytes, String> {
        let bounds = Bounds { timeout, answer_bytes_max: ANSWER_BYTES_MAX };
        let mark = if self.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{mark}timeout={}s", self.path, timeout.as_secs());
        let answer = outbound.post(&self.to, &path, "application/json", body.into(), bounds).await.map_err(told)?;
        match answer.status {
            status if status.is_success() => Ok(answer.body),
            status => Err(refused(status, &answer.body)),
        }
    }
}

/// The origin of a URL, and the rest of it.
fn split(url: &str) -> Result<(Place, String), String> {
    let read: http::Uri = url.parse().map_err(|error| format!("url {url:?}: {error}"))?;
    let (Some(scheme), Some(authority)) = (read.scheme_str(), read.authority()) else {
        return Err(format!("url {url:?} has no host"));
    };
    let path = read.path_and_query().map_or("/", |path| path.as_str());
    Ok((Place::Origin(format!("{scheme}://{authority}")), path.to_owned()))
}

/// As upstream's client words it.
fn told(error: Error) -> String {
    match error {
        Error::Unreachable { url, reason, .. } => format!("Post {url:?}: {reason}"),
        Error::Timeout { url, .. } => format!("Post {url:?}: context deadline exceeded"),
        error => error.to_string(),
    }
}

fn refused(status: StatusCode, body: &[u8]) -> String {
    match status {
        StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
        StatusCode::SERVICE_UNAVAILABLE => "the server is currently unable to handle the request".to_owned(),
        StatusCode::UNAUTHORIZED => "the server has asked for the client to provide credentials".to_owned(),
        status if status.is_server_error() => {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(TOLD_LEN_MAX).collect();
            let text = if text.is_empty() { "unknown".to_owned() } else { text };
            format!("an error on the server ({text:?}) has prevented the request from succeeding")
        }
        status => format!("the server rejected our request for an unknown reason (HTTP {})", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_at_a_url_or_a_service() {
        let at = |url| Webhook::new(Some(url), None, b"").expect("good");
        assert_eq!(at("https://h.example:8443").path, "/");
        assert_eq!(at("https://h.example:8443/a/b").path, "/a/b");
        assert_eq!(at("https://h.example:8443/a/b").to.place, Place::Origin("https://h.example:8443".into()));
        let service = ServiceName { namespace: "n", name: "s", path: "/p", port: None };
        let webhook = Webhook::new(None, Some(service), b"").expect("good");
        let place = Place::Service { namespace: "n".into(), name: "s".into(), port: 443 };
        assert_eq!((webhook.to.place, webhook.path.as_str()), (place, "/p"));
        assert!(Webhook::new(None, None, b"").is_err() && Webhook::new(Some("/a"), None, b"").is_err());
        let wrong = ServiceName { port: Some(70_000), ..service };
        assert!(Webhook::new(None, Some(wrong), b"").is_err());
    }

    #[test]
    fn a_refusal_tells_what_the_webhook_said() {
        let told = refused(StatusCode::INTERNAL_SERVER_ERROR, b"out of order\n");
        assert_eq!(told, "an error on the server (\"out of order\") has prevented the request from succeeding");
        assert!(refused(StatusCode::BAD_REQUEST, b"").ends_with("(HTTP 400)"));
    }
}
