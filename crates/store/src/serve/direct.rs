//! The calls that are made all the time, past tonic's framework (`daemon::serve::direct`), with their services' other calls;
//! the rest goes through it.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use daemon::serve::direct::{Answer, Direct, pieces, unary};
use http::Request;
use hyper::body::Incoming;
use tonic::Status;

use super::kv::KvService;
use super::leader;
use super::lease::LeaseService;
use super::watch::WatchService;
use crate::member::Member;
use crate::refused::Refused;

/// The services that answer them.
pub struct DirectCalls {
    pub member: Arc<Member>,
    pub kv: Arc<KvService>,
    pub lease: Arc<LeaseService>,
    pub watch: WatchService,
    /// A longer request is refused before it is read.
    pub message_bytes: usize,
}

impl Direct for DirectCalls {
    fn answer(&self, request: Request<Incoming>) -> Result<Answer, Request<Incoming>> {
        let path = request.uri().path();
        let Some((service, _)) = path.strip_prefix("/etcdserverpb.").and_then(|path| path.split_once('/')) else {
            return Err(request);
        };
        let refused = match service {
            "Lease" | "Watch" if self.member.learner.load(Ordering::Relaxed) => Err(Refused::NotSupportedForLearner),
            "KV" | "Lease" | "Watch" => leader::check(&self.member, request.headers()),
            _ => return Err(request),
        };
        if let Err(refused) = refused {
            return Ok(Box::pin(ready(Status::from(refused).into_http())));
        }
        let (kv, lease, max) = (self.kv.clone(), self.lease.clone(), self.message_bytes);
        Ok(match path {
            "/etcdserverpb.KV/Range" => Box::pin(async move { pieces(request, max, |req| kv.range(req)).await }),
            "/etcdserverpb.KV/Put" => Box::pin(async move { unary(request, max, |req| kv.put(req)).await }),
            "/etcdserverpb.KV/Txn" => Box::pin(async move { unary(request, max, |req| kv.txn(req)).await }),
            "/etcdserverpb.KV/DeleteRange" => {
                Box::pin(async move { unary(request, max, |req| kv.delete_range(req)).await })
            }
            "/etcdserverpb.KV/Compact" => Box::pin(async move { unary(request, max, |req| kv.compact(req)).await }),
            "/etcdserverpb.Watch/Watch" => Box::pin(ready(self.watch.watch(request, max))),
            "/etcdserverpb.Lease/LeaseKeepAlive" => Box::pin(ready(lease.keep_alive(request, max))),
            "/etcdserverpb.Lease/LeaseGrant" => {
                Box::pin(async move { unary(request, max, |req| lease.grant(req)).await })
            }
            "/etcdserverpb.Lease/LeaseRevoke" => {
                Box::pin(async move { unary(request, max, |req| lease.revoke(req)).await })
            }
            "/etcdserverpb.Lease/LeaseTimeToLive" => {
                Box::pin(async move { unary(request, max, |req| lease.time_to_live(req)).await })
            }
            "/etcdserverpb.Lease/LeaseLeases" => {
                Box::pin(async move { unary(request, max, |req| lease.leases(req)).await })
            }
            _ => return Err(request),
        })
    }
}
