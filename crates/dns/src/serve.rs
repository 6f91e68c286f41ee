//! Speaks DNS: one handler for UDP and TCP, answering from the zone or forwarding.

use std::iter;
use std::sync::Arc;

use hickory_proto::op::{Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use parking_lot::RwLock;

use crate::answer::{Answer, Authority};
use crate::forward::{Forwarded, Forwarder};
use crate::zone::Zone;

/// The zone as the API feeds it and the server reads it.
pub type SharedZone = Arc<RwLock<Zone>>;

/// Answers every request.
pub struct Handler {
    pub authority: Authority,
    pub zone: SharedZone,
    pub forwarder: Forwarder,
}

/// The sections of an answer.
#[derive(Default)]
struct Response {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    soa: Vec<Record>,
    additionals: Vec<Record>,
}

impl Response {
    fn code(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Handler {
    async fn respond(&self, request: &Request) -> Response {
        let info = match request.request_info() {
            Ok(info) if request.metadata.op_code == OpCode::Query => info,
            Ok(_) => return Response::code(ResponseCode::NotImp),
            Err(_) => return Response::code(ResponseCode::FormErr),
        };
        // The name as asked: clients that mix upper and lower case expect it back.
        let query = info.query.original();
        if query.query_class() != DNSClass::IN {
            return Response::code(ResponseCode::Refused);
        }
        self.answer(query.name(), query.query_type()).await
    }

    async fn answer(&self, name: &Name, kind: RecordType) -> Response {
        let (answer, soa) = {
            let zone = self.zone.read();
            (self.authority.answer(&zone, name, kind), self.authority.soa(&zone))
        };
        let ours = Response { authoritative: true, ..Response::default() };
        match answer {
            Answer::Records { answers, additionals } => Response { answers, additionals, ..ours },
            Answer::NoData => Response { soa: vec![soa], ..ours },
            Answer::NoName => Response { code: ResponseCode::NXDomain, soa: vec![soa], ..ours },
            // A resolver asks the next server, or again; "no such name" it would keep.
            Answer::NotYet => Response::code(ResponseCode::ServFail),
            Answer::Alias { record, target } => {
                let mut response = self.forward(&target, kind).await;
                response.answers.insert(0, record);
                response
            }
            Answer::Elsewhere => self.forward(name, kind).await,
        }
    }

    async fn forward(&self, name: &Name, kind: RecordType) -> Response {
        match self.forwarder.ask(name, kind).await {
            Forwarded::Records(answers) => Response { answers, ..Response::default() },
            Forwarded::Nothing { code, soa } => Response { soa, ..Response::code(code) },
            Forwarded::Failed(error) => {
                tracing::debug!(%name, %kind, %error, "forwarding failed");
                Response::code(ResponseCode::ServFail)
            }
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let response = self.respond(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = response.code;
        metadata.authoritative = response.authoritative;
        metadata.recursion_available = true;
        let message = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &response.answers,
            iter::empty(),
            &response.soa,
            &response.additionals,
        );
        match handle.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "an answer could not be sent");
                failed(request)
            }
        }
    }
}

/// What is reported of an answer that could not be sent.
fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(hickory_proto::op::Header { metadata, counts: Default::default() })
}
