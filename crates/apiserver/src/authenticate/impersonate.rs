//! Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid` and `-Extra-KEY`, as upstream reads and judges them.
//!
//! Headers of HTTP and metadata of gRPC are the same here.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, unescaped};
use crate::authorize::{self, Attributes};
use crate::server::Server;
use crate::status::{Failure, Result};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";
const ACCOUNT: &str = "system:serviceaccount:";

/// Who the request is to count as: `user` himself, or whom the headers name, where `user` may act as him.
pub fn impersonate(server: &Server, user: User, headers: &HeaderMap) -> Result<User> {
    let Some(wanted) = wanted(headers)? else { return Ok(user) };
    for attributes in asked(&wanted) {
        authorize::check(server, &user, &attributes)?;
    }
    tracing::debug!(user = user.name, "acts as" = wanted.name, "impersonation");
    Ok(complete(wanted))
}

/// The user that the headers name, as they say it.
fn wanted(headers: &HeaderMap) -> Result<Option<User>> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            extra.entry(unescaped(key)).or_default().push(text(value));
        }
    }
    let groups = headers.get_all(GROUP).iter().map(text).collect();
    let wanted = User { name: one(USER), uid: one(UID), groups, extra };
    match wanted.name.is_empty() {
        true if wanted == User::default() => Ok(None),
        true => Err(Failure::internal(
            "groups, a uid or extras are to be impersonated without a user: send Impersonate-User",
        )),
        false => Ok(Some(wanted)),
    }
}

/// What the caller must be allowed to impersonate.
fn asked(wanted: &User) -> Vec<Attributes<'_>> {
    let impersonate = Attributes { verb: "impersonate", ..Attributes::default() };
    let mut asked = vec![match account(&wanted.name) {
        Some((namespace, name)) => Attributes { resource: "serviceaccounts", namespace, name, ..impersonate },
        None => Attributes { resource: "users", name: &wanted.name, ..impersonate },
    }];
    asked.extend(wanted.groups.iter().map(|name| Attributes { resource: "groups", name, ..impersonate }));
    for (key, values) in &wanted.extra {
        asked.extend(values.iter().map(|name| Attributes {
            group: AUTHENTICATION,
            resource: "userextras",
            subresource: key,
            name,
            ..impersonate
        }));
    }
    if !wanted.uid.is_empty() {
        asked.push(Attributes { group: AUTHENTICATION, resource: "uids", name: &wanted.uid, ..impersonate });
    }
    asked
}

fn account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(ACCOUNT)?.split_once(':').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
}

/// With the groups that nobody has to ask for.
fn complete(mut user: User) -> User {
    if user.groups.is_empty()
        && let Some((namespace, _)) = account(&user.name)
    {
        user.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let own = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
        user.groups.push(own.to_owned());
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn headers_name_a_user_with_all_that_belongs_to_him() {
        let wanted = wanted(&headers(&[
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Uid", "u1"),
            ("Impersonate-Extra-Example.com%2fReason", "x"),
        ]));
        let wanted = wanted.expect("fine").expect("somebody");
        assert_eq!((wanted.name.as_str(), wanted.uid.as_str(), wanted.groups.len()), ("jane", "u1", 2));
        assert_eq!(wanted.extra.get("example.com/reason"), Some(&vec!["x".to_owned()]));
        let asked: Vec<String> = asked(&wanted)
            .iter()
            .map(|it| format!("{} {}/{} {}", it.group, it.resource, it.subresource, it.name))
            .collect();
        assert_eq!(
            asked,
            [
                " users/ jane",
                " groups/ a",
                " groups/ b",
                "authentication.k8s.io userextras/example.com/reason x",
                "authentication.k8s.io uids/ u1"
            ]
        );
    }

    #[test]
    fn without_a_user_there_is_nobody_to_be() {
        assert_eq!(wanted(&HeaderMap::new()).expect("fine"), None);
        assert_eq!(wanted(&headers(&[("impersonate-group", "a")])).expect_err("refused").code(), 500);
    }

    #[test]
    fn groups_that_come_with_a_name_are_added() {
        let groups = |name: &str, groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            complete(User { name: name.into(), groups, ..User::default() }).groups
        };
        assert_eq!(groups("jane", &["a"]), ["a", AUTHENTICATED]);
        assert_eq!(groups(ANONYMOUS, &[]), [UNAUTHENTICATED]);
        assert_eq!(groups("jane", &[UNAUTHENTICATED]), [UNAUTHENTICATED]);
        assert_eq!(
            groups("system:serviceaccount:ns:x", &[]),
            ["system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED]
        );
    }

    #[test]
    fn escapes_are_read_and_others_stay() {
        for (key, text) in [("a%2fb", "a/b"), ("a%", "a%"), ("a%zz", "a%zz"), ("%ff", "%ff"), ("é%2", "é%2")] {
            assert_eq!(unescaped(key), text);
        }
    }
}
