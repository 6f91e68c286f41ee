//! Events: what happened to objects, for people.
//!
//! A [`Recorder`] hands notes to its [`Writer`], which aggregates them as upstream does ([`correlate`]) and writes core
//! v1 Events. Recording never blocks and never fails: when the API server is away for long, notes are dropped.

mod correlate;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::Object;
use proto::core::v1::{Event, EventSource, ObjectReference};
use tokio::sync::mpsc;

use crate::api::Api;
use crate::client::Client;
use crate::error::Error;
use crate::params::Patch;
use correlate::{Correlator, Write};

/// Notes that wait to be written.
const NOTES_MAX: usize = 1000;
/// Tries to write one Event.
const TRIES_MAX: u32 = 12;
/// Between tries.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Takes notes. Clones share one writer.
#[derive(Clone, Debug)]
pub struct Recorder {
    notes: mpsc::Sender<Note>,
    source: Arc<EventSource>,
}

/// Writes notes down; [`Writer::run`] is a task's body.
pub struct Writer {
    notes: mpsc::Receiver<Note>,
    api: Api<Event>,
    correlator: Correlator,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// To what.
    pub involved: ObjectReference,
    /// Who says so.
    pub source: EventSource,
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// One word in camel case.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

impl Recorder {
    /// A recorder that speaks as `component` (and `host`, for daemons of a node), and its writer.
    pub fn new(client: &Client, component: &str, host: &str) -> (Self, Writer) {
        let (tx, rx) = mpsc::channel(NOTES_MAX);
        let source = EventSource { component: component.to_owned(), host: host.to_owned() };
        let writer = Writer { notes: rx, api: client.api(), correlator: Correlator::default() };
        (Self { notes: tx, source: Arc::new(source) }, writer)
    }

    /// The same writer, speaking as another component.
    pub fn speaking_as(&self, component: &str) -> Self {
        let source = EventSource { component: component.to_owned(), host: self.source.host.clone() };
        Self { notes: self.notes.clone(), source: Arc::new(source) }
    }

    /// A recorder whose notes a test reads.
    pub fn to_channel(component: &str) -> (Self, mpsc::Receiver<Note>) {
        let (tx, rx) = mpsc::channel(NOTES_MAX);
        let source = EventSource { component: component.to_owned(), host: String::new() };
        (Self { notes: tx, source: Arc::new(source) }, rx)
    }

    /// Something expected happened.
    pub fn normal<T: Object>(&self, object: &T, reason: &str, message: impl Into<String>) {
        self.note(reference(object), "Normal", reason, message.into());
    }

    /// Something went wrong.
    pub fn warning<T: Object>(&self, object: &T, reason: &str, message: impl Into<String>) {
        self.note(reference(object), "Warning", reason, message.into());
    }

    /// Something happened to what `involved` names. `kind`: `Normal` or `Warning`.
    pub fn note(&self, involved: ObjectReference, kind: &'static str, reason: &str, message: String) {
        let note = Note {
            involved,
            source: (*self.source).clone(),
            kind,
            reason: reason.to_owned(),
            message,
            at: SystemTime::now(),
        };
        if self.notes.try_send(note).is_err() {
            tracing::debug!(reason, "event dropped: too many wait");
        }
    }
}

/// Names an object in an Event.
pub fn reference<T: Object>(object: &T) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        kind: T::KIND.to_owned(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        api_version: T::API_VERSION.to_owned(),
        resource_version: meta.resource_version.clone(),
        ..ObjectReference::default()
    }
}

impl Writer {
    /// Writes until every recorder is gone.
    pub async fn run(mut self) {
        while let Some(note) = self.notes.recv().await {
            let Some(write) = self.correlator.record(&note) else { continue };
            for attempt in 1..=TRIES_MAX {
                match self.write(&write).await {
                    Ok(()) => break,
                    Err(error) if error.is_unavailable() && attempt < TRIES_MAX => {
                        tracing::debug!(reason = note.reason, "event not written yet: {error}");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    Err(error) => {
                        tracing::debug!(reason = note.reason, "event not written: {error}");
                        break;
                    }
                }
            }
        }
    }

    async fn write(&self, write: &Write) -> Result<(), Error> {
        if let Some(patch) = &write.patch {
            let meta = &write.event.metadata;
            match self.api.patch(&meta.namespace, &meta.name, Patch::strategic(patch)).await {
                Err(error) if error.is_not_found() => {}
                result => return result.map(|_| ()),
            }
        }
        match self.api.create(&write.event).await {
            Err(error) if error.is_already_exists() => Ok(()),
            result => result.map(|_| ()),
        }
    }
}
