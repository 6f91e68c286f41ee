//! What a port tells about itself by gRPC: its health, and by reflection its services.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use daemon::tls::ClientIdentity;
use testkit::namespace;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// For one answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Who asks: the CA of the server, and the caller's certificate and key.
#[derive(Debug, Clone)]
pub struct Caller {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a port told.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Its health is SERVING.
    pub serving: bool,
    /// The full names of its services.
    pub services: Vec<String>,
}

/// Asks a port on the loopback of a network; without a caller, without TLS.
pub fn ask(network: Option<&str>, port: u16, caller: Option<&Caller>) -> Result<Told> {
    namespace::inside(network, || {
        // On this thread alone: it is the one inside the network.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { tokio::time::timeout(LIMIT, asked(port, caller)).await.context("no answer")? })
    })
    .with_context(|| format!("port {port}"))
}

fn channel(port: u16, caller: Option<&Caller>) -> Result<Channel> {
    let address = format!("{}:{port}", Ipv4Addr::LOCALHOST);
    let Some(caller) = caller else {
        return Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy());
    };
    let pair = (caller.certificate.clone(), caller.key.clone());
    Ok(ClientIdentity::load(&caller.ca, Some(pair))?.channel(&format!("https://{address}"), None)?)
}

async fn asked(port: u16, caller: Option<&Caller>) -> Result<Told> {
    let channel = channel(port, caller)?;
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.context("health")?;
    let serving = health.into_inner().status() == ServingStatus::Serving;
    let services = services(channel).await.context("reflection")?;
    Ok(Told { serving, services })
}

async fn services(channel: Channel) -> Result<Vec<String>> {
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(futures::stream::iter([ask])).await?.into_inner();
    let answer = answers.message().await?.context("no answer")?;
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => anyhow::bail!("it answers {other:?}"),
    }
}
