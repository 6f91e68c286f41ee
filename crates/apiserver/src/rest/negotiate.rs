//! In which form an answer goes out: what a client accepts against what there is.

use http::HeaderMap;
use http::header::{ACCEPT, USER_AGENT};

use crate::status::{Failure, Result};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

impl Format {
    /// The content type of answers.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    /// The format that a media type names.
    pub fn of_media_type(text: &str) -> Option<Self> {
        match text {
            "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// As what objects go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As they are.
    Whole,
    /// As rows of a table.
    Table,
    /// Their metadata only.
    Metadata,
    /// A list of their metadata only.
    MetadataList,
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub format: Format,
    pub shape: Shape,
    /// The version of the shape's kind: `v1`, `v1beta1`.
    pub version: &'static str,
    /// Whether JSON is indented.
    pub pretty: bool,
}

impl Accepted {
    /// JSON of whole objects.
    pub const PLAIN: Self = Self { format: Format::Json, shape: Shape::Whole, version: "v1", pretty: false };
}

/// What can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Objects and lists, in any shape.
    Objects,
    /// Events of a watch, in any shape; no YAML.
    Events,
    /// As [`Offer::Objects`], but what is whole has no protobuf form: custom resources.
    CustomObjects,
    /// As [`Offer::Events`], of custom resources.
    CustomEvents,
    /// Only as it is.
    Plain,
}

/// Chooses the best that is accepted. The first of equals wins.
pub fn choose(headers: &HeaderMap, pretty: Option<bool>, offer: Offer) -> Result<Accepted> {
    let header: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let header = header.join(",");
    let chosen = if header.trim().is_empty() {
        Some(Accepted::PLAIN)
    } else {
        let mut ranges: Vec<Range<'_>> = header.split(',').filter_map(Range::parse).collect();
        ranges.sort_by_key(|range| std::cmp::Reverse(range.quality));
        ranges.iter().find_map(|range| range.accept(offer))
    };
    let mut chosen = chosen.ok_or_else(|| not_acceptable(offer))?;
    chosen.pretty = pretty.unwrap_or_else(|| is_a_person(headers)) && chosen.format == Format::Json;
    Ok(chosen)
}

/// The format of a failure's answer: what is accepted, else JSON.
pub fn of_failure(headers: &HeaderMap) -> Format {
    choose(headers, None, Offer::Plain).map_or(Format::Json, |accepted| accepted.format)
}

/// Browsers and curl get JSON that a person can read.
fn is_a_person(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|begin| agent.starts_with(begin))
}

fn not_acceptable(offer: Offer) -> Failure {
    let types = match offer {
        Offer::Events | Offer::CustomEvents => {
            "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
        }
        _ => "application/json, application/yaml, application/vnd.kubernetes.protobuf",
    };
    Failure::new(406, "NotAcceptable", format!("only the following media types are accepted: {types}"))
}

/// One media range of an Accept header.
struct Range<'a> {
    media_type: &'a str,
    /// In thousandths.
    quality: u32,
    as_kind: &'a str,
    group: &'a str,
    version: &'a str,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().filter(|text| !text.is_empty())?;
        let mut range = Range { media_type, quality: 1000, as_kind: "", group: "", version: "" };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                "q" => range.quality = quality(value.trim())?,
                "as" => range.as_kind = value.trim(),
                "g" => range.group = value.trim(),
                "v" => range.version = value.trim(),
                _ => {}
            }
        }
        (range.quality > 0).then_some(range)
    }

    fn accept(&self, offer: Offer) -> Option<Accepted> {
        let format = match self.media_type {
            "*/*" | "application/*" => Format::Json,
            named => Format::of_media_type(named)?,
        };
        if format == Format::Yaml && matches!(offer, Offer::Events | Offer::CustomEvents) {
            return None;
        }
        let is_custom = matches!(offer, Offer::CustomObjects | Offer::CustomEvents);
        let shape = match self.as_kind {
            "" if is_custom && format == Format::Protobuf => return None,
            "" => Shape::Whole,
            _ if offer == Offer::Plain || self.group != "meta.k8s.io" => return None,
            // Tables have no protobuf form.
            "Table" if format != Format::Protobuf => Shape::Table,
            "PartialObjectMetadata" => Shape::Metadata,
            "PartialObjectMetadataList" => Shape::MetadataList,
            _ => return None,
        };
        let version = match (shape, self.version) {
            (Shape::Whole, _) | (_, "v1") => "v1",
            (_, "v1beta1") => "v1beta1",
            _ => return None,
        };
        Some(Accepted { format, shape, version, pretty: false })
    }
}

/// `0.8` as 800; nonsense refuses the range.
fn quality(text: &str) -> Option<u32> {
    let value: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&value).then(|| (value * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_of(accept: &str, offer: Offer) -> Option<(Format, Shape, &'static str)> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        choose(&headers, None, offer).ok().map(|chosen| (chosen.format, chosen.shape, chosen.version))
    }

    #[test]
    fn the_best_that_is_there() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (accept, expect) in [
            ("", Some((Format::Json, Shape::Whole, "v1"))),
            ("*/*", Some((Format::Json, Shape::Whole, "v1"))),
            ("application/yaml", Some((Format::Yaml, Shape::Whole, "v1"))),
            ("application/vnd.kubernetes.protobuf,application/json", Some((Format::Protobuf, Shape::Whole, "v1"))),
            ("application/json;q=0.1,application/yaml;q=0.9", Some((Format::Yaml, Shape::Whole, "v1"))),
            (table, Some((Format::Json, Shape::Table, "v1"))),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Some((Format::Json, Shape::Table, "v1beta1"))),
            ("application/json;as=Table;v=v9;g=meta.k8s.io", None),
            ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Some((Format::Json, Shape::Whole, "v1"))),
            ("application/json;as=Chair;v=v1;g=meta.k8s.io", None),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", None),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(choose_of(accept, Offer::Objects), expect, "{accept}");
        }
        assert_eq!(choose_of("application/yaml", Offer::Events), None);
        assert_eq!(choose_of(table, Offer::Plain), None);
        let protobuf = "application/vnd.kubernetes.protobuf";
        assert_eq!(choose_of(protobuf, Offer::CustomObjects), None);
        let either = format!("{protobuf},application/json");
        assert_eq!(choose_of(&either, Offer::CustomEvents), Some((Format::Json, Shape::Whole, "v1")));
        let metadata = format!("{protobuf};as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
        let expect = Some((Format::Protobuf, Shape::Metadata, "v1"));
        assert_eq!(choose_of(&metadata, Offer::CustomObjects), expect);
    }

    #[test]
    fn people_get_indented_json() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "curl/8.0".parse().unwrap());
        assert!(choose(&headers, None, Offer::Objects).unwrap().pretty);
        assert!(!choose(&headers, Some(false), Offer::Objects).unwrap().pretty);
    }
}
