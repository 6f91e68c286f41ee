//! Users that a front proxy names in headers, as upstream's request-header authentication.

use std::collections::BTreeMap;

use daemon::tls::FrontProxy;
use http::{HeaderMap, HeaderName};

use super::{AUTHENTICATED, User, unescaped};

/// Whose headers are believed, and which: the flags `--requestheader-*`.
#[derive(Debug, Clone, Default)]
pub struct Fronts {
    /// Common names of certificates; empty: all that the authority signed.
    pub allowed_names: Vec<String>,
    /// Where the user's name is, the first that has one.
    pub username_headers: Vec<HeaderName>,
    /// Where its uid is.
    pub uid_headers: Vec<HeaderName>,
    /// Where its groups are, all of them.
    pub group_headers: Vec<HeaderName>,
    /// What the names of headers with its extras begin with, in lower case.
    pub extra_prefixes: Vec<String>,
}

impl Fronts {
    /// The user whom the headers name, where this proxy may name one.
    pub fn user(&self, proxy: &FrontProxy, headers: &HeaderMap) -> Option<User> {
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&proxy.0.common_name) {
            return None;
        }
        let name = first(&self.username_headers, headers)?;
        let mut groups: Vec<String> =
            self.group_headers.iter().flat_map(|header| headers.get_all(header)).filter_map(text).collect();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (header, value) in headers {
            let key = self.extra_prefixes.iter().find_map(|prefix| header.as_str().strip_prefix(prefix.as_str()));
            if let (Some(key), Some(value)) = (key, text(value)) {
                extra.entry(unescaped(key)).or_default().push(value);
            }
        }
        if !groups.iter().any(|group| group == AUTHENTICATED || group == super::UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        let uid = first(&self.uid_headers, headers).unwrap_or_default();
        Some(User { name, uid, groups, extra })
    }
}

fn first(names: &[HeaderName], headers: &HeaderMap) -> Option<String> {
    names.iter().filter_map(|name| headers.get(name)).filter_map(text).find(|value| !value.is_empty())
}

fn text(value: &http::HeaderValue) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use daemon::tls::Peer;

    use super::*;

    fn fronts() -> Fronts {
        let header = HeaderName::from_static;
        Fronts {
            allowed_names: vec!["front-proxy-client".into()],
            username_headers: vec![header("x-remote-user"), header("x-other-user")],
            uid_headers: vec![header("x-remote-uid")],
            group_headers: vec![header("x-remote-group")],
            extra_prefixes: vec!["x-remote-extra-".into()],
        }
    }

    fn proxy(name: &str) -> FrontProxy {
        FrontProxy(Peer { common_name: name.into(), organizations: Vec::new() })
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn headers_of_a_proxy_name_a_user() {
        let user = fronts().user(
            &proxy("front-proxy-client"),
            &headers(&[
                ("X-Other-User", "jane"),
                ("X-Remote-Uid", "u-1"),
                ("X-Remote-Group", "a"),
                ("X-Remote-Group", "b"),
                ("X-Remote-Extra-Acme.com%2Fproject", "p1"),
                ("X-Remote-Extra-Acme.com%2Fproject", "p2"),
            ]),
        );
        let user = user.expect("a user");
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u-1"));
        assert_eq!(user.groups, ["a", "b", AUTHENTICATED]);
        assert_eq!(user.extra["acme.com/project"], ["p1", "p2"]);
    }

    #[test]
    fn others_are_not_believed() {
        let named = headers(&[("X-Remote-User", "jane")]);
        assert_eq!(fronts().user(&proxy("somebody"), &named), None);
        assert_eq!(fronts().user(&proxy("front-proxy-client"), &headers(&[("X-Remote-Group", "a")])), None);
        let all = Fronts { allowed_names: Vec::new(), ..fronts() };
        assert!(all.user(&proxy("somebody"), &named).is_some());
    }
}
