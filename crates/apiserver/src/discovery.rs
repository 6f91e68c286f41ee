//! What is served, told to clients: groups, versions, resources and verbs.
//!
//! A [`Catalog`] has a resource list for each group version; every document is made from it. Documents are made once
//! and kept until the catalog changes ([`Discovery::replace`]). [`Form::negotiate`] reads the Accept header, then
//! [`Discovery::document`] answers `/api`, `/apis` and all below them, [`Discovery::root`] answers `/`.

mod aggregated;
mod catalog;
mod form;
mod lists;
mod merge;
mod root;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

pub use catalog::{Catalog, CustomKind, split, version_order};
pub use form::Form;

use crate::aggregate::{Aggregator, Told};
use crate::document::{Document, digest};
use crate::registry::Registry;

/// The documents of discovery.
#[derive(Debug)]
pub struct Discovery {
    /// Host and port where clients of any network reach this server.
    server_address: String,
    /// Who serves other group versions.
    aggregator: Arc<Aggregator>,
    documents: ArcSwap<Documents>,
}

/// What was made of one catalog.
#[derive(Debug)]
struct Documents {
    /// Counts the catalogs.
    generation: u64,
    /// What this server serves.
    own: Arc<Catalog>,
    /// What others said that they serve.
    told: Arc<Vec<Told>>,
    /// Both.
    catalog: Catalog,
    made: Mutex<BTreeMap<(String, Form), Document>>,
}

impl Documents {
    fn new(generation: u64, own: Arc<Catalog>, told: Arc<Vec<Told>>) -> Arc<Self> {
        let catalog = merge::merge(&own, &told);
        Arc::new(Self { generation, own, told, catalog, made: Mutex::default() })
    }
}

impl Discovery {
    /// Discovery of what the registry serves. `server_address` is host and port as `/api` tells them.
    pub fn new(registry: &Registry, server_address: String) -> Self {
        Self::of(Arc::new(Catalog::of(registry)), server_address)
    }

    /// With what extension servers serve.
    pub fn beside(self, aggregator: Arc<Aggregator>) -> Self {
        Self { aggregator, ..self }
    }

    /// Discovery of a catalog.
    pub fn of(catalog: Arc<Catalog>, server_address: String) -> Self {
        let documents = ArcSwap::new(Documents::new(1, catalog, Arc::default()));
        Self { server_address, aggregator: Arc::default(), documents }
    }

    /// What is served from now on, custom resources included.
    pub fn replace(&self, catalog: Arc<Catalog>) {
        self.documents.rcu(|old| Documents::new(old.generation + 1, Arc::clone(&catalog), Arc::clone(&old.told)));
    }

    /// The documents of what is served now, here and elsewhere.
    fn current(&self) -> Arc<Documents> {
        let told = self.aggregator.told();
        let documents = self.documents.load_full();
        if Arc::ptr_eq(&documents.told, &told) || documents.told == told {
            return documents;
        }
        self.documents.rcu(|old| Documents::new(old.generation + 1, Arc::clone(&old.own), Arc::clone(&told)));
        self.documents.load_full()
    }

    /// How many catalogs there were, this one included.
    pub fn generation(&self) -> u64 {
        self.documents.load().generation
    }

    /// What this server itself serves.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.documents.load().own)
    }

    /// The document at a path (`/api`, `/api/v1`, `/apis`, `/apis/apps`, `/apis/apps/v1`; a slash at the end is
    /// overlooked). `None`: there is none, not in this form either.
    pub fn document(&self, path: &str, form: Form) -> Option<Document> {
        let path = path.trim_end_matches('/');
        let documents = self.current();
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
        let body = root::paths(&self.current().catalog, others);
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
