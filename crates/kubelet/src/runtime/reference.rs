//! Image references: what "busybox" means in full. Pure.

/// A reference whose registry, repository and tag or digest are all known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

/// Why a reference cannot be read; the text follows upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
}

impl Reference {
    /// Adds what is left out: docker.io, library/, :latest.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(Invalid::Format),
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(Invalid::Format);
        }
        let (registry, repository) = match path.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" || has_upper(host) => {
                (host.to_owned(), rest.to_owned())
            }
            _ => ("docker.io".to_owned(), path.to_owned()),
        };
        if has_upper(&repository) {
            return Err(Invalid::Uppercase(repository));
        }
        if repository.is_empty() || !repository.split('/').all(is_component) {
            return Err(Invalid::Format);
        }
        let official = registry == "docker.io" && !repository.contains('/');
        let tag = match (&tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            _ => tag,
        };
        Ok(Self {
            registry,
            repository: if official { format!("library/{repository}") } else { repository },
            tag,
            digest,
        })
    }

    /// As containerd names images.
    pub fn full(&self) -> String {
        let mut out = format!("{}/{}", self.registry, self.repository);
        if let Some(tag) = &self.tag {
            out = format!("{out}:{tag}");
        }
        if let Some(digest) = &self.digest {
            out = format!("{out}@{digest}");
        }
        out
    }
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_component(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(Reference::parse(text).map(|reference| reference.full()), Ok(expect.to_owned()));
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        check("busybox", "docker.io/library/busybox:latest");
        check("me/app:1.2", "docker.io/me/app:1.2");
        check("localhost:5000/app", "localhost:5000/app:latest");
        check(
            "registry.example/a/b@sha256:0123456789abcdef0123456789abcdef",
            "registry.example/a/b@sha256:0123456789abcdef0123456789abcdef",
        );
    }

    #[test]
    fn a_wrong_reference_is_refused_with_upstreams_words() {
        let error = Reference::parse("Registry.example/UPPER:1").unwrap_err().to_string();
        assert_eq!(error, "invalid reference format: repository name (UPPER) must be lowercase");
        assert_eq!(Reference::parse("a b"), Err(Invalid::Format));
        assert_eq!(Reference::parse(""), Err(Invalid::Format));
    }
}
