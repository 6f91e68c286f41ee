//! Three members that find each other by SRV records of a name server on loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use test_store::{Member, etcdctl, specs};
use tokio::net::UdpSocket;

const DOMAIN: &str = "store.test.";
const TTL_S: u32 = 30;

/// Answers for `_etcd-server._tcp` and the hosts that it names.
async fn serve(socket: Arc<UdpSocket>, ports: Vec<u16>) {
    let mut buffer = [0; 1500];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let Some(answer) = answer(&buffer[..len], &ports) else { continue };
        if socket.send_to(&answer, from).await.is_err() {
            return;
        }
    }
}

fn answer(question: &[u8], ports: &[u16]) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let name = query.name().to_lowercase();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    let service = Name::from_ascii(format!("_etcd-server._tcp.{DOMAIN}")).ok()?;
    match query.query_type() {
        RecordType::SRV if name == service => {
            // A name that this machine knows without the server, as the members dial it.
            let target = Name::from_ascii("localhost.").ok()?;
            for port in ports {
                let data = RData::SRV(SRV::new(0, 0, *port, target.clone()));
                answer.add_answer(Record::from_rdata(name.clone(), TTL_S, data));
            }
        }
        RecordType::A if name.to_ascii() == "localhost." => {
            let data = RData::A(A(Ipv4Addr::LOCALHOST));
            answer.add_answer(Record::from_rdata(name.clone(), TTL_S, data));
        }
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(query);
    answer.to_vec().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_find_each_other_by_srv_records() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut specs = specs(folder.path(), 3)?;
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let server = socket.local_addr()?;
    tokio::spawn(serve(socket, specs.iter().map(|spec| spec.peer).collect()));
    for spec in &mut specs {
        spec.cluster = String::new();
        spec.args.extend([format!("--discovery-srv={DOMAIN}"), format!("--discovery-srv-server={server}")]);
    }
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let listed = etcdctl(&members[0].endpoint(), &["member", "list"])?;
    for spec in &specs {
        let url = format!("http://localhost:{}", spec.peer);
        ensure!(listed.contains(&url) && listed.contains(&spec.name), "{listed}");
    }
    ensure!(etcdctl(&members[1].endpoint(), &["put", "a", "b"])? == "OK\n");

    let mut stranger = specs[1].clone();
    stranger.name = "stranger".to_owned();
    stranger.folder = folder.path().join("stranger");
    stranger.advertised_peer = test_store::free_port()?;
    let refused = Member::start(&stranger)?;
    let ended = refused.ended().await?;
    let log = std::fs::read_to_string(stranger.folder.join("log")).context("its log")?;
    ensure!(!ended.success() && log.contains("none of the members"), "{log}");
    Ok(())
}
