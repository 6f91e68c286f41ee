//! The calls that are made all the time, past tonic's framework (`daemon::serve::direct`); the others go through it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use daemon::serve::direct::{Answer, Direct, unary};
use http::Request;
use hyper::body::Incoming;
use proto::etcdserverpb::kv_server::Kv;
use tonic::Status;

use super::kv::KvService;
use super::watch::WatchService;
use crate::member::Member;
use crate::refused::Refused;

/// The services that answer them.
pub struct DirectCalls {
    pub member: Arc<Member>,
    pub kv: Arc<KvService>,
    pub watch: WatchService,
    /// A longer request is refused before it is read.
    pub message_bytes: usize,
}

impl Direct for DirectCalls {
    fn answer(&self, request: Request<Incoming>) -> Result<Answer, Request<Incoming>> {
        let (kv, max) = (self.kv.clone(), self.message_bytes);
        Ok(match request.uri().path() {
            "/etcdserverpb.KV/Range" => Box::pin(async move { unary(request, max, |req| kv.range(req)).await }),
            "/etcdserverpb.KV/Put" => Box::pin(async move { unary(request, max, |req| kv.put(req)).await }),
            "/etcdserverpb.KV/Txn" => Box::pin(async move { unary(request, max, |req| kv.txn(req)).await }),
            "/etcdserverpb.KV/DeleteRange" => {
                Box::pin(async move { unary(request, max, |req| kv.delete_range(req)).await })
            }
            "/etcdserverpb.KV/Compact" => Box::pin(async move { unary(request, max, |req| kv.compact(req)).await }),
            "/etcdserverpb.Watch/Watch" => {
                let response = self.led().map_or_else(Status::into_http, |()| self.watch.watch(request, max));
                Box::pin(std::future::ready(response))
            }
            _ => return Err(request),
        })
    }
}

impl DirectCalls {
    /// A learner serves nothing that needs a leader.
    fn led(&self) -> Result<(), Status> {
        match self.member.learner.load(Ordering::Relaxed) {
            true => Err(Refused::NotSupportedForLearner.into()),
            false => Ok(()),
        }
    }
}
