//! The definitions that a document needs: everything that its paths take and give, and what that is made of.

use std::collections::BTreeMap;

use proto::meta::v1::ListMeta_INFO;
use proto::schema::{Form, MessageInfo};
use serde_json::{Map, Value, json};

use super::path::{Answer, Path};
use super::schema::{self, Dialect};
use super::{custom, name};
use crate::discovery::Catalog;

const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const VERSION: &str = "io.k8s.apimachinery.pkg.version.Info";

/// A definition that is not written out yet.
#[derive(Debug, Clone, Copy)]
enum Source {
    Message(&'static MessageInfo),
    CustomList(&'static MessageInfo),
    Patch,
    Version,
}

/// The definitions of a document, by name.
#[derive(Debug)]
pub struct Definitions<'a> {
    dialect: Dialect,
    /// Has what is said of custom kinds.
    catalog: &'a Catalog,
    /// The group versions that kinds of all groups are in.
    everywhere: Vec<String>,
    sources: BTreeMap<String, Source>,
}

impl<'a> Definitions<'a> {
    pub fn of(paths: &[Path], dialect: Dialect, catalog: &'a Catalog, everywhere: Vec<String>) -> Self {
        let (mut roots, mut sources) = (Vec::new(), BTreeMap::new());
        for answer in paths.iter().flat_map(Path::bodies) {
            match answer {
                Answer::Message(message) => roots.push(message),
                Answer::CustomList(message) => {
                    roots.extend([message, &ListMeta_INFO]);
                    sources.insert(name::list(message), Source::CustomList(message));
                }
                Answer::Patch => drop(sources.insert(PATCH.to_owned(), Source::Patch)),
                Answer::Version => drop(sources.insert(VERSION.to_owned(), Source::Version)),
                Answer::Text => {}
            }
        }
        let reached = schema::reached(roots).into_iter();
        sources.extend(reached.map(|(name, message)| (name, Source::Message(message))));
        Self { dialect, catalog, everywhere, sources }
    }

    /// Each name with its definition, in order of the names; made one by one.
    pub fn each(&self) -> impl Iterator<Item = (&str, Value)> {
        self.sources.iter().map(|(name, source)| {
            let value = match source {
                Source::Message(message) if message.form == Form::Custom => {
                    custom::definition(message, self.dialect, self.catalog)
                }
                Source::Message(message) => schema::definition(message, self.dialect, &self.everywhere),
                Source::CustomList(message) => custom::list(message, self.dialect),
                Source::Patch => {
                    json!({ "description": "A patch; its media type says of which type.", "type": "object" })
                }
                Source::Version => version(),
            };
            (name.as_str(), value)
        })
    }
}

/// The schema of a body.
pub fn body(answer: Answer, dialect: Dialect) -> Value {
    match answer {
        Answer::Message(message) => dialect.reference(&name::definition(message)),
        Answer::CustomList(message) => dialect.reference(&name::list(message)),
        Answer::Patch => dialect.reference(PATCH),
        Answer::Version => dialect.reference(VERSION),
        Answer::Text => json!({ "type": "string" }),
    }
}

/// What the version tells, all of it in strings.
fn version() -> Value {
    let info = daemon::version::info();
    let names: Vec<String> = info.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let properties: Map<String, Value> = names.iter().map(|name| (name.clone(), json!({ "type": "string" }))).collect();
    // As upstream: the versions that are emulated came later.
    let early = |name: &&String| !name.starts_with("emulation") && !name.starts_with("minCompatibility");
    let required: Vec<&String> = names.iter().filter(early).collect();
    json!({ "description": "The version of the API and of what serves it.", "type": "object", "properties": properties, "required": required })
}
