//! In which form a discovery document is wanted.

/// The forms of discovery documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// One document for each group version.
    Json,
    Protobuf,
    /// All groups with all their resources in one document, at `/api` and `/apis`.
    AggregatedJson,
    AggregatedProtobuf,
}

impl Form {
    /// `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
            Self::AggregatedJson => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::AggregatedProtobuf => {
                "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
        }
    }

    /// The first form in an Accept header that there is at that path; an empty header asks for JSON. `None`: none of what
    /// is accepted (406). What else upstream can write (YAML) is the caller's to look for.
    pub fn negotiate(accept: &str, path: &str) -> Option<Self> {
        let aggregates = matches!(path.trim_end_matches('/'), "/api" | "/apis");
        if accept.trim().is_empty() {
            return Some(Self::Json);
        }
        let mut ranges: Vec<(f32, &str)> = accept.split(',').map(|range| (quality(range), range)).collect();
        ranges.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranges.into_iter().filter(|(quality, _)| *quality > 0.0).find_map(|(_, range)| Self::of(range, aggregates))
    }

    fn of(range: &str, aggregates: bool) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let json = match parts.next()? {
            "application/json" | "application/*" | "*/*" => true,
            "application/vnd.kubernetes.protobuf" => false,
            _ => return None,
        };
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let value = |name: &str| parameters.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        match (value("as"), value("g"), value("v")) {
            (None, _, _) => Some(if json { Self::Json } else { Self::Protobuf }),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) if aggregates => {
                Some(if json { Self::AggregatedJson } else { Self::AggregatedProtobuf })
            }
            _ => None,
        }
    }
}

/// The weight of a media range, from 0 to 1; 1 where it says none.
fn quality(range: &str) -> f32 {
    let weight = range.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
    weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[track_caller]
    fn check(accept: &str, path: &str, expect: Option<Form>) {
        assert_eq!(Form::negotiate(accept, path), expect, "{accept} at {path}");
    }

    const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

    #[test]
    fn clients_get_the_first_form_that_there_is() {
        check("", "/apis", Some(Form::Json));
        check("*/*", "/api/v1", Some(Form::Json));
        check("application/vnd.kubernetes.protobuf, */*", "/api/v1", Some(Form::Protobuf));
        check("text/html", "/api/v1", None);
        check("application/json;q=0.1, application/vnd.kubernetes.protobuf;q=0.9", "/api", Some(Form::Protobuf));
        check("application/json;q=0", "/api", None);
        check(&format!("{V2},{V2BETA1},application/json"), "/apis", Some(Form::AggregatedJson));
        check(&V2.replace("json", "vnd.kubernetes.protobuf"), "/api/", Some(Form::AggregatedProtobuf));
    }

    #[test]
    fn other_versions_and_other_paths_have_no_aggregated_form() {
        check(V2BETA1, "/api", None);
        check(V2, "/apis/apps", None);
        check(&format!("{V2},application/json"), "/apis/apps/v1", Some(Form::Json));
    }
}
