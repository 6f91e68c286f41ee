//! The calls that are made all the time, past tonic's framework (`daemon::serve::direct`); the others go through it.

use std::sync::Arc;

use daemon::serve::direct::{Answer, Direct, unary};
use http::Request;
use hyper::body::Incoming;
use proto::etcdserverpb::kv_server::Kv;
use tonic::Status;

use super::kv::KvService;
use super::leader;

/// The service that answers them.
pub struct DirectCalls {
    pub kv: Arc<KvService>,
    /// A longer request is refused before it is read.
    pub message_bytes: usize,
}

impl Direct for DirectCalls {
    fn answer(&self, request: Request<Incoming>) -> Result<Answer, Request<Incoming>> {
        let (kv, max) = (self.kv.clone(), self.message_bytes);
        let method = request.uri().path().strip_prefix("/etcdserverpb.KV/");
        if method.is_some()
            && let Err(refused) = leader::check(kv.member(), request.headers())
        {
            return Ok(Box::pin(async move { Status::from(refused).into_http() }));
        }
        Ok(match method {
            Some("Range") => Box::pin(async move { unary(request, max, |req| kv.range(req)).await }),
            Some("Put") => Box::pin(async move { unary(request, max, |req| kv.put(req)).await }),
            Some("Txn") => Box::pin(async move { unary(request, max, |req| kv.txn(req)).await }),
            Some("DeleteRange") => Box::pin(async move { unary(request, max, |req| kv.delete_range(req)).await }),
            Some("Compact") => Box::pin(async move { unary(request, max, |req| kv.compact(req)).await }),
            _ => return Err(request),
        })
    }
}
