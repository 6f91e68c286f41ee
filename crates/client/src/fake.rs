//! A small API server in memory, behind real gRPC: create, delete, list and watch of any kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use proto::Object;
use proto::keelson::api::v1::resources_server::{Resources, ResourcesServer};
use proto::keelson::api::v1::watch_event::Type;
use proto::keelson::api::v1::*;
use proto::meta::v1::Status as KubernetesStatus;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use crate::client::Client;
use crate::config::Config;
use crate::error::RpcStatus;

type Key = (String, String);

#[derive(Default)]
struct State {
    revision: i64,
    compacted: i64,
    objects: BTreeMap<Key, proto::keelson::api::v1::Object>,
    log: Vec<(i64, WatchEvent)>,
    lists: usize,
    watches: Vec<String>,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    /// Bumped at every write, and at every cut: (revision, cuts).
    changed: Arc<watch::Sender<(i64, u64)>>,
}

impl Fake {
    /// Starts on a free port.
    pub async fn start() -> (Self, Client) {
        let fake = Self { state: Arc::default(), changed: Arc::new(watch::Sender::new((0, 0))) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let service = ResourcesServer::new(fake.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        let client = Client::new(Config::plain(format!("http://{address}"))).expect("a client");
        (fake, client)
    }

    pub fn put<T: Object>(&self, object: &T) {
        let meta = object.metadata();
        self.write((meta.namespace.clone(), meta.name.clone()), Some(proto::any::pack(object)));
    }

    pub fn remove(&self, namespace: &str, name: &str) {
        self.write((namespace.into(), name.into()), None);
    }

    /// Forgets all events so far: watches from before get 410.
    pub fn compact(&self) {
        let mut state = self.state.lock().expect("lock");
        state.compacted = state.revision;
        state.log.clear();
    }

    /// Ends every open watch.
    pub fn cut(&self) {
        self.changed.send_modify(|(_, cuts)| *cuts += 1);
    }

    pub fn lists(&self) -> usize {
        self.state.lock().expect("lock").lists
    }

    /// The revisions that watches began at.
    pub fn watches(&self) -> Vec<String> {
        self.state.lock().expect("lock").watches.clone()
    }

    fn write(&self, key: Key, any: Option<prost_types::Any>) -> proto::keelson::api::v1::Object {
        let mut state = self.state.lock().expect("lock");
        state.revision += 1;
        let revision = state.revision;
        let (kind, object) = match any {
            Some(any) => {
                let object = proto::keelson::api::v1::Object {
                    resource_version: revision,
                    object: Some(any),
                    warnings: Vec::new(),
                };
                let old = state.objects.insert(key, object.clone());
                (if old.is_some() { Type::Modified } else { Type::Added }, object)
            }
            None => {
                let mut object = state.objects.remove(&key).expect("it exists");
                object.resource_version = revision;
                (Type::Deleted, object)
            }
        };
        let event = WatchEvent { r#type: kind.into(), object: Some(object.clone()), initial_events_end: false };
        state.log.push((revision, event));
        drop(state);
        self.changed.send_modify(|(last, _)| *last = revision);
        object
    }
}

fn refused(code: i32, reason: &str) -> Status {
    let status = KubernetesStatus { code, reason: reason.into(), message: reason.into(), ..Default::default() };
    let details = RpcStatus { details: vec![proto::any::pack(&status)], ..Default::default() };
    Status::with_details(Code::Unknown, reason, details.encode_to_vec().into())
}

fn key(at: Option<ResourceRef>) -> Key {
    let at = at.unwrap_or_default();
    (at.namespace, at.name)
}

#[tonic::async_trait]
impl Resources for Fake {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<proto::keelson::api::v1::Object>, Status> {
        let state = self.state.lock().expect("lock");
        let found = state.objects.get(&key(request.into_inner().r#ref)).cloned();
        found.map(Response::new).ok_or_else(|| refused(404, "NotFound"))
    }

    type ListStream = BoxStream<'static, Result<ListChunk, Status>>;
    async fn list(&self, _: Request<ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let mut state = self.state.lock().expect("lock");
        state.lists += 1;
        let mut chunks = vec![Ok(ListChunk { resource_version: state.revision, ..Default::default() })];
        let items: Vec<_> = state.objects.values().cloned().collect();
        chunks.extend(items.chunks(2).map(|items| Ok(ListChunk { items: items.to_vec(), ..Default::default() })));
        Ok(Response::new(stream::iter(chunks).boxed()))
    }

    type WatchStream = BoxStream<'static, Result<WatchChunk, Status>>;
    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let from = request.into_inner().resource_version;
        let changed = self.changed.subscribe();
        let state = self.state.clone();
        let cuts = changed.borrow().1;
        {
            let mut state = state.lock().expect("lock");
            state.watches.push(from.clone());
            if from.parse::<i64>().unwrap_or(0) < state.compacted {
                return Err(refused(410, "Expired"));
            }
        }
        let start = (state, changed, from.parse::<i64>().unwrap_or(0));
        let chunks = stream::unfold(start, move |(state, mut changed, from)| async move {
            loop {
                if changed.borrow_and_update().1 != cuts {
                    return None;
                }
                let events: Vec<_> = {
                    let state = state.lock().expect("lock");
                    state.log.iter().filter(|(revision, _)| *revision > from).cloned().collect()
                };
                if let Some((last, _)) = events.last() {
                    let next = (state, changed, *last);
                    return Some((
                        Ok(WatchChunk { events: events.into_iter().map(|(_, event)| event).collect() }),
                        next,
                    ));
                }
                changed.changed().await.ok()?;
            }
        });
        Ok(Response::new(chunks.boxed()))
    }

    async fn create(
        &self,
        request: Request<CreateRequest>,
    ) -> Result<Response<proto::keelson::api::v1::Object>, Status> {
        let request = request.into_inner();
        let key = key(request.r#ref);
        if self.state.lock().expect("lock").objects.contains_key(&key) {
            return Err(refused(409, "AlreadyExists"));
        }
        Ok(Response::new(self.write(key, request.object)))
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<proto::keelson::api::v1::Object>, Status> {
        let request = request.into_inner();
        let key = key(request.r#ref);
        let found = self.state.lock().expect("lock").objects.get(&key).map(|object| object.resource_version);
        match found {
            None => Err(refused(404, "NotFound")),
            Some(version) if request.resource_version != 0 && request.resource_version != version => {
                Err(refused(409, "Conflict"))
            }
            Some(_) => Ok(Response::new(self.write(key, request.object))),
        }
    }

    async fn patch(&self, _: Request<PatchRequest>) -> Result<Response<proto::keelson::api::v1::Object>, Status> {
        Err(refused(405, "MethodNotAllowed"))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let key = key(request.into_inner().r#ref);
        if !self.state.lock().expect("lock").objects.contains_key(&key) {
            return Err(refused(404, "NotFound"));
        }
        let object = self.write(key, None);
        Ok(Response::new(DeleteResponse { object: Some(object), deleted: true }))
    }

    async fn delete_collection(
        &self,
        _: Request<DeleteCollectionRequest>,
    ) -> Result<Response<DeleteCollectionResponse>, Status> {
        Err(refused(405, "MethodNotAllowed"))
    }
}
