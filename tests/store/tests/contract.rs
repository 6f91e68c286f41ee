//! The contract between members only grows: messages of another version, earlier or later, are understood.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet, MethodDescriptorProto};
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;
use test_store::{Member, connect, number, put, specs};
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

const PACKAGE: &str = "keelson.raft.v1";

/// Every method and field of the package, a line each.
fn contract() -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for file in FileDescriptorSet::decode(proto::DESCRIPTORS)?.file {
        if file.package() == PACKAGE {
            file.message_type.iter().for_each(|message| fields(message, "", &mut lines));
            for service in &file.service {
                lines.extend(service.method.iter().map(|of| method(service.name(), of)));
            }
        }
    }
    ensure!(lines.len() > 100, "the package was found: {} lines", lines.len());
    Ok(lines)
}

fn fields(message: &DescriptorProto, within: &str, lines: &mut BTreeSet<String>) {
    let name = format!("{within}{}", message.name());
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().to_owned(),
            kind => kind.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        let label = if field.label() == Label::Repeated { "repeated " } else { "" };
        lines.insert(format!("{name} {:>2} {}: {label}{kind}", field.number(), field.name()));
    }
    message.nested_type.iter().for_each(|nested| fields(nested, &format!("{name}."), lines));
}

fn method(service: &str, of: &MethodDescriptorProto) -> String {
    let stream = |is: bool| if is { "stream " } else { "" };
    let (asks, answers) = (stream(of.client_streaming()), stream(of.server_streaming()));
    format!("{service}.{}: {asks}{} -> {answers}{}", of.name(), of.input_type(), of.output_type())
}

/// `UPDATE_EXPECT=1` adds what is new; nothing is ever taken away or changed.
#[test]
fn the_contract_between_members_only_grows() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/contract.txt");
    let told: BTreeSet<String> =
        std::fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
    let now = contract()?;
    let gone: Vec<&String> = told.difference(&now).collect();
    ensure!(
        gone.is_empty(),
        "members of earlier versions say these, which are not understood any more: give new things new numbers: {gone:#?}"
    );
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let lines: Vec<String> = now.into_iter().collect();
        return Ok(std::fs::write(&path, lines.join("\n") + "\n")?);
    }
    let new: Vec<&String> = now.difference(&told).collect();
    ensure!(new.is_empty(), "new in the contract; write it down with UPDATE_EXPECT=1: {new:#?}");
    Ok(())
}

/// A target as a later version may write it.
#[derive(Clone, PartialEq, Message)]
struct LaterTarget {
    #[prost(uint64, tag = "1")]
    cluster_id: u64,
    #[prost(uint64, tag = "2")]
    member_id: u64,
    #[prost(string, tag = "1000")]
    later: String,
}

/// Any request with a target: fields beyond it come from `known`, unknown ones are added.
#[derive(Clone, PartialEq, Message)]
struct LaterRequest {
    #[prost(message, optional, tag = "1")]
    target: Option<LaterTarget>,
    #[prost(message, optional, tag = "2")]
    second: Option<Later>,
    #[prost(string, tag = "1001")]
    later: String,
    #[prost(uint64, repeated, tag = "1002")]
    latest: Vec<u64>,
}

/// What stands in field 2, with something new in it: a vote, or a command.
#[derive(Clone, PartialEq, Message)]
struct Later {
    #[prost(uint64, tag = "7001")]
    later: u64,
    /// A command's put.
    #[prost(message, optional, tag = "1")]
    put: Option<etcd::PutRequest>,
    /// A command of a kind that comes later.
    #[prost(message, optional, tag = "7000")]
    kind: Option<etcd::PutRequest>,
}

/// Several commands.
#[derive(Clone, PartialEq, Message)]
struct LaterSeveral {
    #[prost(message, optional, tag = "1")]
    target: Option<LaterTarget>,
    #[prost(message, repeated, tag = "2")]
    commands: Vec<Later>,
    #[prost(string, tag = "1001")]
    later: String,
}

struct Peer {
    channel: Channel,
    target: LaterTarget,
}

impl Peer {
    fn request(&self, second: Option<Later>) -> LaterRequest {
        let (target, latest) = (Some(self.target.clone()), vec![1, 2, 3]);
        LaterRequest { target, second, later: "later".to_owned(), latest }
    }

    async fn unary<Q, T>(&self, method: &str, req: Q) -> Result<T, tonic::Status>
    where
        Q: Message + 'static,
        T: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::try_from(format!("/{PACKAGE}.Raft/{method}")).expect("a path");
        let codec: ProstCodec<Q, T> = ProstCodec::default();
        Ok(grpc.unary(tonic::Request::new(req), path, codec).await?.into_inner())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_later_version_are_understood() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let header = member.status().await?.header.context("a header")?;
    let later = "later".to_owned();
    let target = LaterTarget { cluster_id: header.cluster_id, member_id: header.member_id, later };
    let peer = Peer { channel: connect(spec.peer).await?, target };

    let read: pb::ReadIndexResponse = peer.unary("ReadIndex", peer.request(None)).await?;
    ensure!(read.log_id.is_some(), "{read:?}");
    let members: pb::MembersResponse =
        peer.unary("Members", LaterRequest { target: None, ..peer.request(None) }).await?;
    ensure!(members.cluster_id == header.cluster_id, "{members:?}");
    // A vote of term 0: not granted, but understood.
    let nothing = Later { later: 5, ..Default::default() };
    let vote: pb::VoteResponse = peer.unary("Vote", peer.request(Some(nothing.clone()))).await?;
    ensure!(!vote.granted && vote.vote.is_some_and(|vote| vote.term > 0), "{vote:?}");
    let requests = tokio_stream::once(peer.request(Some(nothing)));
    let mut append = Grpc::new(peer.channel.clone());
    append.ready().await?;
    let codec: ProstCodec<LaterRequest, pb::AppendResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static("/keelson.raft.v1.Raft/Append");
    let mut answers = append.streaming(tonic::Request::new(requests), path, codec).await?.into_inner();
    let answer = answers.next().await.context("an answer")??;
    ensure!(matches!(answer.result, Some(pb::append_response::Result::HigherVote(_))), "{answer:?}");

    let forwarded = Later { put: Some(put("forwarded", "1")), later: 5, kind: None };
    let done: pb::ForwardResponse = peer.unary("Forward", peer.request(Some(forwarded))).await?;
    let put_done = matches!(done.reply, Some(pb::Reply { result: Some(pb::reply::Result::Put(_)) }));
    ensure!(put_done, "{done:?}");
    let mut kv = etcd::kv_client::KvClient::new(connect(spec.client).await?);
    ensure!(number(&mut kv, "forwarded").await? == 1, "it was done");
    Ok(())
}

/// In the log it would stop every member that does not know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_a_later_kind_never_gets_into_the_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = specs(folder.path(), 1)?.remove(0);
    let member = Member::start(&spec)?;
    member.ready().await?;
    let header = member.status().await?.header.context("a header")?;
    let target = LaterTarget { cluster_id: header.cluster_id, member_id: header.member_id, ..Default::default() };
    let peer = Peer { channel: connect(spec.peer).await?, target };
    let unknown = Later { kind: Some(put("later", "1")), ..Default::default() };
    let asked = peer.request(Some(unknown.clone()));
    let refused = peer.unary::<_, pb::ForwardResponse>("Forward", asked).await.expect_err("unknown");
    ensure!(refused.message().contains("of a kind that this version does not know"), "{refused}");
    // Among others it harms none of them.
    let known = |value: &str| Later { put: Some(put("beside", value)), later: 5, kind: None };
    let commands = vec![known("1"), unknown, known("2")];
    let several = LaterSeveral { target: Some(peer.target.clone()), commands, later: "later".to_owned() };
    let done: pb::ForwardAllResponse = peer.unary("ForwardAll", several).await?;
    let results: Vec<_> = done.replies.iter().map(|reply| reply.result.as_ref()).collect();
    ensure!(
        matches!(
            results[..],
            [Some(pb::reply::Result::Put(_)), Some(pb::reply::Result::Refusal(_)), Some(pb::reply::Result::Put(_))]
        ),
        "{done:?}"
    );
    let mut kv = etcd::kv_client::KvClient::new(connect(spec.client).await?);
    ensure!(number(&mut kv, "beside").await? == 2, "in their order");
    member.ready().await?;
    // Nor does it stand in the log that is read back.
    let member = Member::start(&member.kill()?)?;
    member.ready().await
}
