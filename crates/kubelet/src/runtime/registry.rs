//! Credentials for registries, from pull secrets. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::core::v1::Secret;

/// A user of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Host, with a port where it has one, and possibly a path.
    pub registry: String,
    pub username: String,
    pub password: String,
}

/// The credentials in a secret of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg.
pub fn from_secret(secret: &Secret) -> Vec<Credentials> {
    let json =
        |key: &str| secret.data.get(key).and_then(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok());
    let auths = match json(".dockerconfigjson") {
        Some(config) => config.get("auths").cloned(),
        None => json(".dockercfg"),
    };
    let Some(serde_json::Value::Object(auths)) = auths else { return Vec::new() };
    auths.iter().filter_map(|(registry, entry)| entry_of(registry, entry)).collect()
}

fn entry_of(registry: &str, entry: &serde_json::Value) -> Option<Credentials> {
    let text = |key: &str| entry.get(key).and_then(|value| value.as_str()).filter(|value| !value.is_empty());
    let (username, password) = match (text("username"), text("password"), text("auth")) {
        (Some(username), Some(password), _) => (username.to_owned(), password.to_owned()),
        (_, _, Some(auth)) => {
            let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
            let (username, password) = decoded.split_once(':')?;
            (username.to_owned(), password.to_owned())
        }
        _ => return None,
    };
    let registry = registry.trim_start_matches("https://").trim_start_matches("http://");
    let registry = registry.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    Some(Credentials {
        registry: if registry == "index.docker.io" { "docker.io".into() } else { registry.into() },
        username,
        password,
    })
}

/// Those that fit an image, the most specific first. `*` and `?` stand for characters within one part of the host's
/// name: `*.example.com` fits `a.example.com`, and neither `example.com` nor `a.b.example.com`.
pub fn matching<'a>(all: &'a [Credentials], registry: &str, repository: &str) -> Vec<&'a Credentials> {
    let mut fitting: Vec<&Credentials> = all.iter().filter(|one| fits(&one.registry, registry, repository)).collect();
    fitting.sort_by_key(|one| {
        let wild = one.registry.bytes().filter(|byte| matches!(byte, b'*' | b'?')).count();
        (wild, std::cmp::Reverse(one.registry.len()))
    });
    fitting
}

fn fits(pattern: &str, registry: &str, repository: &str) -> bool {
    let (host, path) = pattern.split_once('/').unwrap_or((pattern, ""));
    let below =
        repository.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'));
    let (wanted, parts): (Vec<&str>, Vec<&str>) = (host.split('.').collect(), registry.split('.').collect());
    below && wanted.len() == parts.len() && wanted.iter().zip(parts).all(|(pattern, part)| glob(pattern, part))
}

/// Whether the text is the pattern's: `*` is any characters, `?` is one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[seen] => (at, seen) = (at + 1, seen + 1),
            // The last star takes one more.
            _ => match star {
                Some((from, taken)) => {
                    star = Some((from, taken + 1));
                    (at, seen) = (from + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part_of_a_host_and_the_exact_name_comes_first() {
        let of = |registry: &str| Credentials {
            registry: registry.into(),
            username: registry.into(),
            password: String::new(),
        };
        let all =
            [of("*.example.com"), of("r.example.com"), of("r.example.com/team"), of("example.com"), of("r*.io:5?")];
        let got = |registry: &str, repository: &str| -> Vec<String> {
            matching(&all, registry, repository).iter().map(|one| one.registry.clone()).collect()
        };
        assert_eq!(got("r.example.com", "team/app"), ["r.example.com/team", "r.example.com", "*.example.com"]);
        assert_eq!(got("x.example.com", "app"), ["*.example.com"]);
        assert_eq!(got("a.b.example.com", "app"), [""; 0]);
        assert_eq!(got("rrr.io:55", "app"), ["r*.io:5?"]);
        assert_eq!(got("rrr.io:555", "app"), [""; 0]);
    }

    #[test]
    fn docker_config_secrets_are_read_in_both_forms() {
        let mut secret = Secret::default();
        let auth = STANDARD.encode("me:pass:word");
        let text = format!(
            r#"{{"auths":{{"https://localhost:5000/v1/":{{"auth":"{auth}"}},"r.io/a":{{"username":"u","password":"p"}}}}}}"#
        );
        secret.data.insert(".dockerconfigjson".into(), text.into_bytes());
        let got = from_secret(&secret);
        assert_eq!(got.len(), 2);
        let fits = matching(&got, "localhost:5000", "x");
        assert_eq!((fits[0].username.as_str(), fits[0].password.as_str()), ("me", "pass:word"));
        assert_eq!(matching(&got, "r.io", "a/b").len(), 1);
        assert!(matching(&got, "r.io", "ab").is_empty());
    }
}
