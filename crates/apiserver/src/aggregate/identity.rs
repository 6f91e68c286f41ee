//! Who calls, told to an extension server in headers: it believes them because of the certificate of
//! `--proxy-client-cert-file`.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::authenticate::User;

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";

/// Adds the headers about `user`. What the request said of itself was stripped before.
pub fn tell(headers: &mut HeaderMap, user: &User) {
    let mut add = |name: HeaderName, value: &str| {
        // A name that no header can hold is left out: then the extension server knows less, never more.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name, value);
        }
    };
    add(USER, &user.name);
    if !user.uid.is_empty() {
        add(UID, &user.uid);
    }
    user.groups.iter().for_each(|group| add(GROUP, group));
    for (key, values) in &user.extra {
        let Ok(name) = HeaderName::from_bytes(format!("{EXTRA}{}", escaped(key)).as_bytes()) else { continue };
        values.iter().for_each(|value| add(name.clone(), value));
    }
}

/// With `%2F` for what cannot be in a header's name, as upstream writes the keys of extras.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        // A header has no upper case of its own, and a percent sign would be read as an escape.
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&'*+-.^_`|~".contains(&byte);
        match plain {
            true => out.push(char::from(byte)),
            false if byte.is_ascii_uppercase() => out.push(char::from(byte.to_ascii_lowercase())),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_server_hears_all_that_is_known_of_the_caller() {
        let user = User {
            name: "jane".into(),
            uid: "u-1".into(),
            groups: vec!["a".into(), "system:authenticated".into()],
            extra: [("acme.com/project".to_owned(), vec!["p".to_owned(), "q".to_owned()])].into(),
        };
        let mut headers = HeaderMap::new();
        tell(&mut headers, &user);
        assert_eq!(headers["x-remote-user"], "jane");
        assert_eq!(headers["x-remote-uid"], "u-1");
        let all = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-remote-group"), ["a", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-acme.com%2fproject"), ["p", "q"]);
    }
}
