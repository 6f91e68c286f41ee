//! What the store alone does: the transactions that creations are, without an apiserver.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use test_bench::calls::{Call, Heard, Load};
use test_bench::drive::drive;

use crate::load::Measured;
use crate::servers::Cluster;

/// Writes keys that must not exist, with values of `bytes`.
pub async fn run(cluster: &Cluster, clients: usize, span: Duration, bytes: usize) -> Result<Measured> {
    let make = |seed| -> Box<dyn Load> { Box::new(Creations { seed, count: 0, value: vec![b'x'; bytes].into() }) };
    let mut before = None;
    let figures = drive(&[cluster.store_port()], clients, span, &make, || {
        before = Some(cluster.cpu()?);
        Ok(())
    })
    .await?;
    let after = cluster.cpu()?;
    let peak = test_bench::process::peak(cluster.pid())?;
    Ok(Measured { figures, span, cpu: after.since(before.unwrap_or(after)), peak })
}

struct Creations {
    seed: u64,
    count: u64,
    value: Bytes,
}

impl Load for Creations {
    fn call(&mut self, _client: usize) -> Call {
        self.count += 1;
        let key = Bytes::from(format!("/floor/{:04}/{:012}", self.seed, self.count));
        let absent = etcd::Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Version as i32,
            key: key.clone(),
            target_union: Some(TargetUnion::Version(0)),
            ..Default::default()
        };
        let put = etcd::PutRequest { key: key.clone(), value: self.value.clone(), ..Default::default() };
        let get = etcd::RangeRequest { key, ..Default::default() };
        let txn = etcd::TxnRequest {
            compare: vec![absent],
            success: vec![etcd::RequestOp { request: Some(Request::RequestPut(put)) }],
            failure: vec![etcd::RequestOp { request: Some(Request::RequestRange(get)) }],
        };
        Call { path: "/etcdserverpb.KV/Txn", messages: vec![txn.encode_to_vec()], stays: false }
    }

    fn heard(&mut self, _client: usize, message: &[u8]) -> Result<Heard> {
        ensure!(etcd::TxnResponse::decode(message)?.succeeded, "a key of the floor was there already");
        Ok(Heard { operations: 1, send: None })
    }
}
