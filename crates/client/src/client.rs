//! The connection to the API server.

use std::sync::Arc;
use std::time::Duration;

use proto::Object;
use proto::keelson::api::v1::auth_client::AuthClient;
use proto::keelson::api::v1::discovery_client::DiscoveryClient;
use proto::keelson::api::v1::resources_client::ResourcesClient;
use proto::keelson::api::v1::streams_client::StreamsClient;
use proto::keelson::api::v1::{ApiResource, GetVersionRequest, ListResourcesRequest, UserInfo, Version, WhoAmIRequest};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::api::Api;
use crate::config::{Config, Credentials, Data};
use crate::connect::Connector;
use crate::dynamic::DynApi;
use crate::error::Error;
use crate::refused::Refusal;
use crate::resource::Resource;

/// For calls that answer once.
const CALL_TIMEOUT: Duration = Duration::from_secs(34);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// The largest message that is read or written: an object is at most 1.5 MiB, a chunk 1 MiB and one object more.
const MESSAGE_MAX: usize = 16 << 20;

/// The authenticated channel.
pub type Authenticated = InterceptedService<Channel, BearerToken>;

/// A connection that is shared by its clones. It connects when first used, and again whenever it must.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Authenticated,
    server: Arc<str>,
    namespace: Arc<str>,
    refusal: Refusal,
}

impl Client {
    /// Checks the config; the connection is made when first used. Must be called inside a runtime.
    pub fn new(config: Config) -> Result<Self, Error> {
        let server = config.servers.join(", ");
        let agent = config.user_agent.clone();
        let token = match &config.credentials {
            Credentials::Token(token) => Some(token.clone()),
            _ => None,
        };
        let namespace = config.namespace.as_str().into();
        let origin = config.servers.first().cloned().unwrap_or_default();
        let connector = Connector::new(Arc::new(config))?;
        let refusal = connector.refusal();
        let unusable = |reason: String| crate::config::Error::Unusable(format!("server {origin:?}: {reason}"));
        // TLS is the connector's; tonic is told plain http, and the true origin for the requests' authority.
        let plain = origin.replacen("https://", "http://", 1);
        let endpoint = Endpoint::from_shared(plain)
            .and_then(|endpoint| endpoint.user_agent(agent))
            .map_err(|error| unusable(error.to_string()))?
            .origin(origin.parse().map_err(|error| unusable(format!("{error}")))?)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_with_connector_lazy(connector);
        let channel = InterceptedService::new(channel, BearerToken { token });
        Ok(Self { channel, server: server.into(), namespace, refusal })
    }

    /// The verbs of a kind.
    pub fn api<T: Object>(&self) -> Api<T> {
        Api::new(self.clone())
    }

    /// The verbs of a resource that is known at run time only.
    pub fn dynamic(&self, group: &str, version: &str, plural: &str) -> DynApi {
        let resource = Resource { group: group.to_owned(), version: version.to_owned(), plural: plural.to_owned() };
        DynApi::new(self.clone(), resource)
    }

    /// The context's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Which servers are called, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The generated client of `Resources`.
    pub fn resources(&self) -> ResourcesClient<Authenticated> {
        ResourcesClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_MAX)
            .max_encoding_message_size(MESSAGE_MAX)
    }

    /// The generated client of `Streams`: logs, exec, attach, port-forward.
    pub fn streams(&self) -> StreamsClient<Authenticated> {
        StreamsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// The generated client of `Auth`.
    pub fn auth(&self) -> AuthClient<Authenticated> {
        AuthClient::new(self.channel.clone())
    }

    /// The generated client of `Discovery`.
    pub fn discovery(&self) -> DiscoveryClient<Authenticated> {
        DiscoveryClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Every resource that the server serves.
    pub async fn api_resources(&self) -> Result<Vec<ApiResource>, Error> {
        let mut discovery = self.discovery();
        Ok(self.once(discovery.list_resources(ListResourcesRequest {})).await?.resources)
    }

    /// Who the server is.
    pub async fn version(&self) -> Result<Version, Error> {
        let mut discovery = self.discovery();
        self.once(discovery.get_version(GetVersionRequest {})).await
    }

    /// Who the caller is, to the server.
    pub async fn who_am_i(&self) -> Result<UserInfo, Error> {
        let mut auth = self.auth();
        self.once(auth.who_am_i(WhoAmIRequest {})).await
    }

    /// An error of this connection.
    pub fn error(&self, status: &tonic::Status) -> Error {
        match Error::from_rpc(status, &self.server) {
            Error::Unavailable { server, reason } => Error::Unavailable { server, reason: self.refusal.beside(reason) },
            error => error,
        }
    }

    /// A call that answers once, bounded in time.
    pub async fn once<R>(
        &self,
        call: impl Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    ) -> Result<R, Error> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.error(&status)),
            Err(_) => Err(Error::Timeout { server: self.server.to_string(), seconds: CALL_TIMEOUT.as_secs() }),
        }
    }
}

/// Adds the bearer token, where there is one, as its file has it now.
#[derive(Clone, Debug)]
pub struct BearerToken {
    token: Option<Data>,
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.token {
            let bytes = token.read().map_err(|error| tonic::Status::unauthenticated(error.to_string()))?;
            let text = String::from_utf8_lossy(&bytes);
            let value = MetadataValue::try_from(format!("Bearer {}", text.trim()))
                .map_err(|_| tonic::Status::unauthenticated(format!("{}: not a token", token.name())))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}
