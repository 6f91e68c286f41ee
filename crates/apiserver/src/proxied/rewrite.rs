//! Addresses as what is proxied writes them, and as a client of the proxy has to ask for them.

/// What a client's path has in front of the path that is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// The parts of an address.
struct Parts<'a> {
    /// With the colon; empty where there is none.
    scheme: &'a str,
    /// Host and port; `None` where there are no slashes before them.
    host: Option<&'a str>,
    path: &'a str,
    /// Query and fragment.
    rest: &'a str,
}

impl Prefix {
    /// Of the client's whole path, of which `passed_on` is the end.
    pub fn of(whole: &str, passed_on: &str) -> Self {
        Self(whole.strip_suffix(passed_on).unwrap_or(whole).to_owned())
    }

    /// The address under which the client finds the same. `host`: how the client calls this server. Addresses of other
    /// hosts, relative ones, and those that have the prefix already stay as they are.
    pub fn rewrite(&self, address: &str, host: &str) -> String {
        let Parts { scheme, host: found, path, rest } = split(address);
        let elsewhere = found.is_some_and(|found| found != host) || (found.is_none() && !scheme.is_empty());
        if elsewhere || !path.starts_with('/') || path.starts_with(&self.0) {
            return address.to_owned();
        }
        let origin = found.map_or_else(String::new, |found| format!("{scheme}//{found}"));
        let path = cleaned(path);
        format!("{origin}{}{path}{rest}", self.0)
    }
}

fn split(address: &str) -> Parts<'_> {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let (front, rest) = address.split_at(end);
    let is_scheme = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    };
    let colon = front.find(':').filter(|colon| is_scheme(&front[..*colon]));
    let (scheme, front) = front.split_at(colon.map_or(0, |colon| colon + 1));
    let Some(after) = front.strip_prefix("//") else { return Parts { scheme, host: None, path: front, rest } };
    let slash = after.find('/').unwrap_or(after.len());
    Parts { scheme, host: Some(&after[..slash]), path: &after[slash..], rest }
}

/// Without dots and doubled slashes: what climbs would leave the prefix.
fn cleaned(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = kept.pop(),
            part => kept.push(part),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expect: &str) {
        let prefix = Prefix::of("/api/v1/nodes/n/proxy/logs/", "/logs/");
        assert_eq!(prefix.rewrite(address, "api.example:6443"), expect, "{address}");
    }

    #[test]
    fn addresses_of_the_proxied_are_found_below_the_proxy() {
        check("/metrics", "/api/v1/nodes/n/proxy/metrics");
        check("/a/b/?x=/y#z", "/api/v1/nodes/n/proxy/a/b/?x=/y#z");
        check("/", "/api/v1/nodes/n/proxy/");
        check("/a/../../b", "/api/v1/nodes/n/proxy/b");
        check("//api.example:6443/a", "//api.example:6443/api/v1/nodes/n/proxy/a");
        check("https://api.example:6443/a", "https://api.example:6443/api/v1/nodes/n/proxy/a");
    }

    #[test]
    fn all_others_stay() {
        for address in [
            "a/b",
            "?x=1",
            "#top",
            "",
            "https://elsewhere.example/a",
            "//elsewhere.example/a",
            "mailto:jane@a.example",
            "data:text/plain,/x",
            "/api/v1/nodes/n/proxy/already",
        ] {
            check(address, address);
        }
    }
}
