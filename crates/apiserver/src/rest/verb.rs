//! What a request about objects wants done.

use http::Method;

use super::path::ResourcePath;
use super::query::Query;

/// What a request wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// What a method means; `None` where it means nothing here.
    pub fn of(method: &Method, path: &ResourcePath, query: &Query<'_>) -> Option<Self> {
        let named = !path.name.is_empty();
        Some(match *method {
            Method::GET if path.watch || (!named && query.flag("watch")) => Self::Watch,
            Method::GET if named => Self::Get,
            Method::GET => Self::List,
            Method::POST => Self::Create,
            Method::PUT => Self::Update,
            Method::PATCH => Self::Patch,
            Method::DELETE if named => Self::Delete,
            Method::DELETE => Self::DeleteCollection,
            _ => return None,
        })
    }

    /// As rules name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// As metrics name it.
    pub fn counted(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Watch => "WATCH",
            Self::Create => "POST",
            Self::Update => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::DeleteCollection => "DELETECOLLECTION",
        }
    }

    /// Whether a path with or without a name can mean it. Things below an object are created under its name.
    pub fn fits(self, path: &ResourcePath) -> bool {
        let named = !path.name.is_empty();
        match self {
            Self::Create => named != path.subresource.is_empty(),
            Self::List | Self::DeleteCollection => !named,
            Self::Watch => true,
            Self::Get | Self::Update | Self::Patch | Self::Delete => named,
        }
    }

    /// Whether it may change something.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::path;
    use super::*;

    #[test]
    fn methods_mean_verbs() {
        let pods = path::parse("/api/v1/namespaces/a/pods").unwrap();
        let pod = path::parse("/api/v1/namespaces/a/pods/p").unwrap();
        let of = |method: Method, path: &ResourcePath, query: &str| Verb::of(&method, path, &Query::parse(query));
        assert_eq!(of(Method::GET, &pods, ""), Some(Verb::List));
        assert_eq!(of(Method::GET, &pods, "watch=1"), Some(Verb::Watch));
        assert_eq!(of(Method::GET, &pod, "watch=1"), Some(Verb::Get));
        assert_eq!(of(Method::DELETE, &pods, ""), Some(Verb::DeleteCollection));
        assert_eq!(of(Method::HEAD, &pods, ""), None);
        assert!(!Verb::Create.fits(&pod) && Verb::Create.fits(&pods) && !Verb::Update.fits(&pods));
    }
}
