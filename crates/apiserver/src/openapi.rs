//! The schema of the API for clients: OpenAPI 3.0 for each group version, and 2.0 for everything.
//!
//! Enter at [`OpenApi::answer`]. Paths come from the catalog of discovery ([`resource`], [`connect`], [`general`]), the
//! definitions from the schema tables of `proto` ([`schema`], [`definitions`]); [`v3`], [`v2`] and [`gnostic`] write them.
//! A document is made when it is first asked for and kept compressed until the catalog changes. The index names a digest of
//! every document, so the first who asks for it waits until all of 3.0 is made: call from a thread that may wait.

mod connect;
mod custom;
mod definitions;
mod form;
mod general;
mod gnostic;
mod media;
mod name;
mod parameter;
mod path;
mod resource;
mod schema;
mod v2;
mod v3;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::{Map, Value, json};

pub use form::Form;

use crate::discovery::{Catalog, split};
use crate::document::{Document, digest};
use definitions::Definitions;
use path::{Parameter, Path};
use schema::Dialect;
use v2::V2;
use write::Packed;

/// The OpenAPI documents.
#[derive(Debug)]
pub struct OpenApi {
    documents: ArcSwap<Documents>,
}

/// What was made of one catalog.
#[derive(Debug)]
struct Documents {
    /// Counts the catalogs.
    generation: u64,
    catalog: Arc<Catalog>,
    /// Documents of 3.0 by their names: `api/v1`, `apis/apps`.
    v3: BTreeMap<String, OnceLock<Packed>>,
    v2_json: OnceLock<Packed>,
    v2_protobuf: OnceLock<Packed>,
}

/// What to answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Document(Document),
    /// 301: the document has another digest by now, and this address.
    Moved(String),
    /// 404: there is no such document.
    Unknown,
    /// 406: not in a form that the client takes.
    NotAcceptable,
}

/// A request for a document.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// `/openapi/v2`, `/openapi/v3`, `/openapi/v3/apis/apps/v1`.
    pub path: &'a str,
    /// The parameter `hash`: the digest that the client knows from the index.
    pub hash: Option<&'a str>,
    /// The Accept header; empty: none.
    pub accept: &'a str,
    /// Whether the client takes compressed answers.
    pub gzip: bool,
}

impl OpenApi {
    /// The documents of a catalog; none is made yet.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { documents: ArcSwap::new(Documents::new(1, catalog)) }
    }

    /// What is served from now on.
    /// What is made already and does not differ is kept.
    pub fn replace(&self, catalog: Arc<Catalog>) {
        self.documents.rcu(|old| {
            let new = Documents::new(old.generation + 1, Arc::clone(&catalog));
            new.keep(old);
            new
        });
    }

    /// How many catalogs there were, this one included.
    pub fn generation(&self) -> u64 {
        self.documents.load().generation
    }

    /// Answers a request. Computes when it is the first of its kind: tens of milliseconds.
    pub fn answer(&self, request: Request<'_>) -> io::Result<Answer> {
        let documents = self.documents.load_full();
        let path = request.path.trim_end_matches('/');
        let v2 = path == "/openapi/v2";
        let name = path.strip_prefix("/openapi/v3").map(|name| name.trim_start_matches('/'));
        if !v2 && name.is_none_or(|name| !name.is_empty() && !documents.v3.contains_key(name)) {
            return Ok(Answer::Unknown);
        }
        let Some(form) = Form::negotiate(request.accept, v2) else { return Ok(Answer::NotAcceptable) };
        match name {
            None => documents.v2(form)?.document(form, request.gzip).map(Answer::Document),
            Some("") => documents.index().map(Answer::Document),
            Some(name) => documents.one(name, &request),
        }
    }
}

impl Documents {
    fn new(generation: u64, catalog: Arc<Catalog>) -> Arc<Self> {
        let fixed = general::FIXED.iter().map(|(name, _)| (*name).to_owned());
        let groups = catalog.groups().filter(|(group, _)| !group.is_empty()).map(|(group, _)| format!("apis/{group}"));
        let versions = catalog.lists().iter().map(|list| prefix(&list.group_version)[1..].to_owned());
        let names = fixed.chain(groups).chain(versions);
        let v3 = names.map(|name| (name, OnceLock::new())).collect();
        Arc::new(Self { generation, catalog, v3, v2_json: OnceLock::new(), v2_protobuf: OnceLock::new() })
    }

    /// Takes over the documents of 3.0 that would be made alike.
    fn keep(&self, old: &Self) {
        if self.everywhere() != old.everywhere() {
            return;
        }
        for (name, place) in &self.v3 {
            let made = old.v3.get(name).and_then(OnceLock::get);
            if let Some(made) = made.filter(|_| self.is_alike(old, name)) {
                // Nobody else has this place yet.
                let _ = place.set(made.clone());
            }
        }
    }

    fn is_alike(&self, old: &Self, name: &str) -> bool {
        let name = name.strip_prefix("apis/").or_else(|| name.strip_prefix("api/")).unwrap_or(name);
        let (new, old) = (&self.catalog, &old.catalog);
        new.list(name) == old.list(name) && new.custom_in(name).eq(old.custom_in(name))
    }

    /// Where each document of 3.0 is; makes all of them.
    fn index(&self) -> io::Result<Document> {
        let mut paths = Map::new();
        for name in self.v3.keys() {
            if let Some(packed) = self.v3(name)? {
                paths.insert(name.clone(), json!({ "serverRelativeURL": address(name, &packed.digest) }));
            }
        }
        let body = json!({ "paths": paths }).to_string();
        Ok(Document {
            etag: Some(format!("\"{}\"", digest(body.as_bytes())).into()),
            ..Document::private(Form::Json.content_type(), body.into())
        })
    }

    /// Answers for one document of 3.0.
    fn one(&self, name: &str, request: &Request<'_>) -> io::Result<Answer> {
        let Some(packed) = self.v3(name)? else { return Ok(Answer::Unknown) };
        let document = packed.document(Form::Json, request.gzip)?;
        Ok(match request.hash {
            None | Some("") => Answer::Document(document),
            Some(hash) if hash == packed.digest => {
                Answer::Document(Document { cache_control: Document::IMMUTABLE, ..document })
            }
            Some(_) => Answer::Moved(address(name, &packed.digest)),
        })
    }

    fn v3(&self, name: &str) -> io::Result<Option<&Packed>> {
        let Some(place) = self.v3.get(name) else { return Ok(None) };
        kept(place, || {
            let paths = self.paths(name);
            let definitions = Definitions::of(&paths, Dialect::V3, &self.catalog, self.everywhere());
            Packed::of(|out| v3::write(out, &paths, &definitions))
        })
        .map(Some)
    }

    fn v2(&self, form: Form) -> io::Result<&Packed> {
        let place = match form {
            Form::Json => &self.v2_json,
            Form::Protobuf => &self.v2_protobuf,
        };
        kept(place, || {
            let mut paths: Vec<Path> = self.v3.keys().flat_map(|name| self.paths(name)).collect();
            paths.sort_by(|a, b| a.path.cmp(&b.path));
            let definitions = Definitions::of(&paths, Dialect::V2, &self.catalog, self.everywhere());
            let v2 = V2::new(&paths, &definitions);
            match form {
                Form::Json => Packed::of(|out| v2.write_json(out)),
                Form::Protobuf => Packed::of(|out| out.write_all(&gnostic::document(&v2))),
            }
        })
    }

    /// The paths of a document of 3.0.
    fn paths(&self, name: &str) -> Vec<Path> {
        if let Some((_, make)) = general::FIXED.iter().find(|(fixed, _)| *fixed == name) {
            return vec![make()];
        }
        let rest = name.strip_prefix("apis/").or_else(|| name.strip_prefix("api/")).unwrap_or(name);
        let Some(list) = self.catalog.list(rest) else { return vec![general::group(rest)] };
        let (prefix, (group, version)) = (format!("/{name}"), split(&list.group_version));
        let mut paths = vec![general::resources(&prefix, group, version)];
        paths.extend(resource::paths(&self.catalog, list, &prefix));
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        paths
    }

    /// The group versions that what is in all of them says: those of custom resources are none, as upstream, so that
    /// no document changes with them but their own.
    fn everywhere(&self) -> Vec<String> {
        let custom = |name: &str| self.catalog.custom_in(name).next().is_some();
        let all = self.catalog.lists().iter().map(|list| &list.group_version);
        all.filter(|name| !custom(name)).cloned().collect()
    }
}

impl Packed {
    fn document(&self, form: Form, gzip: bool) -> io::Result<Document> {
        Ok(Document {
            content_type: form.content_type(),
            content_encoding: gzip.then_some("gzip"),
            cache_control: Document::PRIVATE,
            vary: Some("Accept-Encoding, Accept"),
            etag: Some(format!("\"{}\"", self.digest).into()),
            body: if gzip { self.gzip() } else { self.plain()? },
        })
    }
}

/// What is in its place, made when there is nothing yet.
fn kept(place: &OnceLock<Packed>, make: impl FnOnce() -> io::Result<Packed>) -> io::Result<&Packed> {
    match place.get() {
        Some(packed) => Ok(packed),
        None => make().map(|packed| place.get_or_init(|| packed)),
    }
}

/// Where a document of 3.0 with that digest is.
fn address(name: &str, digest: &str) -> String {
    format!("/openapi/v3/{name}?hash={digest}")
}

/// The path of a group version: `/api/v1`, `/apis/apps/v1`.
fn prefix(group_version: &str) -> String {
    let folder = if group_version.contains('/') { "apis" } else { "api" };
    format!("/{folder}/{group_version}")
}

/// What every document says of itself.
fn info() -> Value {
    json!({ "title": "Kubernetes", "version": daemon::version::GIT_VERSION })
}

/// How clients say who they are.
fn bearer() -> Value {
    json!({ "type": "apiKey", "in": "header", "name": "authorization", "description": "A bearer token." })
}

/// A parameter without its type, which the two versions write in different places.
fn named_parameter(parameter: &Parameter) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("name".to_owned(), parameter.name.as_str().into());
    out.insert("in".to_owned(), if parameter.in_path { "path" } else { "query" }.into());
    if parameter.in_path {
        out.insert("required".to_owned(), true.into());
    }
    if !parameter.description.is_empty() {
        out.insert("description".to_owned(), parameter.description.as_str().into());
    }
    out
}

/// A status code in words.
fn code_text(code: u16) -> &'static str {
    http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
