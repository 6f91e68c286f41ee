//! Passing a request on as it is: any method, bodies that stream both ways, upgrades.

use daemon::serve::{Body, Connection, Upgrades};
use futures::FutureExt;
use http::header::{
    CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{Destination, Error, Outbound};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// What concerns one connection only.
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Sends the request on to `path` (with its query) at `to`, and gives the answer as it comes. An upgrade that is granted
/// goes on as a task of the server's port. The caller has removed credentials before.
///
/// # Errors
/// Those of [`Outbound::call`].
pub async fn forward(
    outbound: &Outbound,
    to: &Destination,
    mut request: Request<Incoming>,
    path: Uri,
) -> Result<Response<Body>, Error> {
    let upgrades = request.extensions().get::<Upgrades>().cloned();
    let from = request.extensions().get::<Connection>().copied();
    let wanted = upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11 && upgrades.is_some());
    let client = wanted.is_some().then(|| hyper::upgrade::on(&mut request));
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let (mut head, body) = request.into_parts();
    clean(&mut head.headers, wanted.as_ref());
    // HTTP/2 tells the host elsewhere; what is behind the proxy may look at it.
    if let Some(authority) = authority.and_then(|authority| HeaderValue::from_str(&authority).ok()) {
        head.headers.entry(HOST).or_insert(authority);
    }
    if let Some(from) = from {
        append(&mut head.headers, FORWARDED_FOR, &from.remote.ip().to_canonical().to_string());
    }
    let mut onward = Request::new(Body::new(body));
    *onward.method_mut() = head.method;
    *onward.uri_mut() = path;
    *onward.headers_mut() = head.headers;
    let mut answer = outbound.call(to, onward).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let (Some(upgrades), Some(client)) = (upgrades, client)
    {
        let server = hyper::upgrade::on(&mut answer);
        upgrades.spawn(join(client, server));
        let (head, _) = answer.into_parts();
        return Ok(Response::from_parts(head, Body::empty()));
    }
    let (mut head, body) = answer.into_parts();
    head.version = Version::default();
    clean(&mut head.headers, None);
    Ok(Response::from_parts(head, Body::new(body)))
}

/// What a request wants to become.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let words = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks = words.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// Removes what concerns one connection only, but for an upgrade that is passed on.
fn clean(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade.clone());
    }
}

/// Adds to a header that is a list.
fn append(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let before = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
    let all = before.chain([text]).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(name, value);
    }
}

/// Passes bytes both ways until either side ends.
fn join(client: OnUpgrade, server: OnUpgrade) -> impl Future<Output = ()> + Send {
    async move {
        match tokio::try_join!(client, server) {
            Ok((client, server)) => {
                let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
                if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
                    tracing::debug!("an upgraded connection broke: {error}");
                }
            }
            Err(error) => tracing::debug!("a connection was not upgraded: {error}"),
        }
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let mut sent = headers(&[
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]);
        assert_eq!(upgrade(&sent), None);
        clean(&mut sent, None);
        assert_eq!(sent, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_is_passed_on() {
        let mut sent = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let wanted = upgrade(&sent);
        clean(&mut sent, wanted.as_ref());
        assert_eq!(sent, headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn callers_before_us_stay_named() {
        let mut sent = headers(&[("x-forwarded-for", "10.0.0.1")]);
        append(&mut sent, FORWARDED_FOR, "10.0.0.2");
        assert_eq!(sent[FORWARDED_FOR], "10.0.0.1, 10.0.0.2");
    }
}
