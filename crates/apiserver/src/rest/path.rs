//! What a path is about.

/// A path below a group version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// Plural name.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    /// What follows the subresource, for proxies: begins with a slash where it is there.
    pub rest: Option<String>,
    /// The deprecated form `/api/v1/watch/…`.
    pub watch: bool,
}

/// Subresources of namespaces; any other third part of `/namespaces/NAME/…` is a resource in the namespace.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

/// Reads `/api/V/…` and `/apis/G/V/…` beyond the group version itself; `None` for every other path, also for one whose
/// parts are empty or no UTF-8.
pub fn parse(path: &str) -> Option<ResourcePath> {
    let trailing = path.len() > 1 && path.ends_with('/');
    let parts: Vec<String> = path.strip_prefix('/')?.split('/').map(decode).collect::<Option<_>>()?;
    let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if trailing {
        parts.pop();
    }
    let (group, version, mut parts) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !group.is_empty() => (*group, *version, rest),
        _ => return None,
    };
    let mut found = ResourcePath { group: group.to_owned(), version: version.to_owned(), ..ResourcePath::default() };
    if let ["watch", rest @ ..] = parts
        && !rest.is_empty()
    {
        (found.watch, parts) = (true, rest);
    }
    if let ["namespaces", namespace, resource, rest @ ..] = parts
        && !OF_NAMESPACES.contains(resource)
    {
        found.namespace = (*namespace).to_owned();
        found.resource = (*resource).to_owned();
        parts = rest;
    } else if let [resource, rest @ ..] = parts {
        found.resource = (*resource).to_owned();
        parts = rest;
    } else {
        return None;
    }
    let mut parts = parts.iter();
    found.name = parts.next().map_or_else(String::new, |name| (*name).to_owned());
    found.subresource = parts.next().map_or_else(String::new, |name| (*name).to_owned());
    let rest: Vec<&str> = parts.copied().collect();
    if !rest.is_empty() || (trailing && !found.subresource.is_empty()) {
        let slash = if trailing && !rest.is_empty() { "/" } else { "" };
        found.rest = Some(format!("/{}{slash}", rest.join("/")));
    }
    let named = [&found.group, &found.version, &found.resource]
        .iter()
        .skip(usize::from(group.is_empty()))
        .all(|part| !part.is_empty());
    named.then_some(found)
}

/// A part of a path with its escapes read.
fn decode(part: &str) -> Option<String> {
    if !part.contains('%') {
        return Some(part.to_owned());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expect: (&str, &str, &str, &str, &str, &str, Option<&str>)) {
        let found = parse(path).expect("a resource");
        let got = (
            found.group.as_str(),
            found.version.as_str(),
            found.namespace.as_str(),
            found.resource.as_str(),
            found.name.as_str(),
            found.subresource.as_str(),
            found.rest.as_deref(),
        );
        assert_eq!(got, expect, "{path}");
    }

    #[test]
    fn paths_name_resources() {
        check("/api/v1/pods", ("", "v1", "", "pods", "", "", None));
        check("/api/v1/namespaces/a/pods/p", ("", "v1", "a", "pods", "p", "", None));
        check("/api/v1/namespaces/a", ("", "v1", "", "namespaces", "a", "", None));
        check("/api/v1/namespaces/a/finalize", ("", "v1", "", "namespaces", "a", "finalize", None));
        check("/apis/apps/v1/namespaces/a/deployments/d/scale", ("apps", "v1", "a", "deployments", "d", "scale", None));
        check("/apis/apps/v1/deployments/", ("apps", "v1", "", "deployments", "", "", None));
        check("/api/v1/namespaces/a/pods/p/proxy/x/y/", ("", "v1", "a", "pods", "p", "proxy", Some("/x/y/")));
        check("/api/v1/namespaces/a/pods/p/proxy/", ("", "v1", "a", "pods", "p", "proxy", Some("/")));
        check("/api/v1/nodes/a%3Ab", ("", "v1", "", "nodes", "a:b", "", None));
    }

    #[test]
    fn the_deprecated_watch_paths_are_watches() {
        let found = parse("/api/v1/watch/namespaces/a/pods").expect("a resource");
        assert!(found.watch && found.resource == "pods" && found.namespace == "a");
    }

    #[test]
    fn other_paths_are_none() {
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/version",
            "",
            "x",
            "/api//pods",
            "/apis//v1/pods",
            "/api/v1/pods/%ff",
            "/api/v1/pods/%4",
            "/api/v1/watch",
        ] {
            let found = parse(path);
            assert!(found.is_none() || path == "/api/v1/watch", "{path}: {found:?}");
        }
    }
}
