//! What is served, told to clients: groups, versions, resources and verbs.
//!
//! A [`Catalog`] has a resource list for each group version; every document is made from it. Documents are made once
//! and kept until the catalog changes ([`Discovery::replace`]). [`Form::negotiate`] reads the Accept header, then
//! [`Discovery::document`] answers `/api`, `/apis` and all below them, [`Discovery::root`] answers `/`.

mod aggregated;
mod catalog;
mod form;
mod lists;
mod root;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

pub use catalog::{Catalog, CustomKind, split, version_order};
pub use form::Form;

use crate::document::{Document, digest};
use crate::registry::Registry;

/// The documents of discovery.
#[derive(Debug)]
pub struct Discovery {
    /// Host and port where clients of any network reach this server.
    server_address: String,
    documents: ArcSwap<Documents>,
}

/// What was made of one catalog.
#[derive(Debug)]
struct Documents {
    /// Counts the catalogs.
    generation: u64,
    catalog: Arc<Catalog>,
    made: Mutex<BTreeMap<(String, Form), Document>>,
}

impl Documents {
    fn new(generation: u64, catalog: Arc<Catalog>) -> Arc<Self> {
        Arc::new(Self { generation, catalog, made: Mutex::default() })
    }
}

impl Discovery {
    /// Discovery of what the registry serves. `server_address` is host and port as `/api` tells them.
    pub fn new(registry: &Registry, server_address: String) -> Self {
        Self::of(Arc::new(Catalog::of(registry)), server_address)
    }

    /// Discovery of a catalog.
    pub fn of(catalog: Arc<Catalog>, server_address: String) -> Self {
        Self { server_address, documents: ArcSwap::new(Documents::new(1, catalog)) }
    }

    /// What is served from now on, custom resources included.
    pub fn replace(&self, catalog: Arc<Catalog>) {
        self.documents.rcu(|old| Documents::new(old.generation + 1, Arc::clone(&catalog)));
    }

    /// How many catalogs there were, this one included.
    pub fn generation(&self) -> u64 {
        self.documents.load().generation
    }

    /// What is served.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.documents.load().catalog)
    }

    /// The document at a path (`/api`, `/api/v1`, `/apis`, `/apis/apps`, `/apis/apps/v1`; a slash at the end is
    /// overlooked). `None`: there is none, not in this form either.
    pub fn document(&self, path: &str, form: Form) -> Option<Document> {
        let path = path.trim_end_matches('/');
        let documents = self.documents.load();
        let key = (path.to_owned(), form);
        if let Some(made) = documents.made.lock().get(&key) {
            return Some(made.clone());
        }
        let document = match form {
            Form::AggregatedJson | Form::AggregatedProtobuf => {
                tagged(form, aggregated::list(&documents.catalog, path)?.encode(form))
            }
            Form::Json | Form::Protobuf => {
                let answer = lists::answer(&documents.catalog, path, &self.server_address)?;
                Document::private(form.content_type(), answer.encode(form).into())
            }
        };
        documents.made.lock().insert(key, document.clone());
        Some(document)
    }

    /// The answer to `/`: the paths of all documents, and `others` (health checks, metrics) that the caller serves.
    pub fn root<'a>(&self, others: impl IntoIterator<Item = &'a str>) -> Document {
        let body = root::paths(&self.documents.load().catalog, others);
        Document::private(Form::Json.content_type(), Bytes::from(proto::json::to_vec(&body)))
    }
}

fn tagged(form: Form, body: Vec<u8>) -> Document {
    Document {
        content_type: form.content_type(),
        content_encoding: None,
        cache_control: Document::PUBLIC,
        vary: Some("Accept"),
        etag: Some(format!("\"{}\"", digest(&body)).into()),
        body: body.into(),
    }
}

#[cfg(test)]
mod tests;
