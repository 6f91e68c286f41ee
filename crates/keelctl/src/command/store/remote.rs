//! The store's members as they are dialled.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use client::config::{Credentials, Data};
use client::connect::Connector;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, Uri};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::codegen::{InterceptedService, Service as _};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};

use super::Connection;
use crate::cli::Global;
use crate::error::Unreachable;

/// How long a call may take unless --request-timeout says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Puts the token of a user of the store on every call.
#[derive(Clone, Default)]
pub struct Token(Option<tonic::metadata::MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", token.clone());
        }
        Ok(request)
    }
}

pub type Service = InterceptedService<Channel, Token>;

pub struct Remote {
    connection: Connection,
    insecure: bool,
    timeout: Duration,
    /// NAME:PASSWORD of --user.
    user: Option<(String, String)>,
}

impl Remote {
    pub fn new(global: &Global, connection: Connection) -> anyhow::Result<Self> {
        if connection.cert.is_some() != connection.key.is_some() {
            bail!("--cert and --key belong together: give both or neither");
        }
        let timeout = match global.request_timeout.as_deref() {
            None | Some("0") => TIMEOUT,
            Some(text) => crate::duration::parse(text).context("--request-timeout")?,
        };
        let user = match &global.user {
            None => None,
            Some(user) => {
                let (name, password) = user.split_once(':').context("--user of the store is NAME:PASSWORD")?;
                Some((name.to_owned(), password.to_owned()))
            }
        };
        Ok(Self { connection, insecure: global.insecure_skip_tls_verify, timeout, user })
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.connection.endpoints.iter().map(|endpoint| self.url(endpoint)).collect()
    }

    /// An endpoint with its scheme: with certificates it is https, as for etcdctl.
    fn url(&self, endpoint: &str) -> String {
        let of = &self.connection;
        let tls = of.cacert.is_some() || of.cert.is_some() || self.insecure;
        match endpoint.trim() {
            endpoint if endpoint.contains("://") => endpoint.to_owned(),
            endpoint if tls => format!("https://{endpoint}"),
            endpoint => format!("http://{endpoint}"),
        }
    }

    fn connector(&self, servers: Vec<String>) -> anyhow::Result<Connector> {
        let first = servers.first().context("--endpoints names nobody")?.clone();
        let file = |path: &String| Data::File(path.into());
        let credentials = match self.connection.cert.as_ref().zip(self.connection.key.as_ref()) {
            Some((cert, key)) => Credentials::Certificate { cert: file(cert), key: file(key) },
            None => Credentials::Anonymous,
        };
        let config = client::Config {
            servers,
            ca: self.connection.cacert.as_ref().map(file),
            insecure: self.insecure,
            credentials,
            ..client::Config::plain(&first)
        };
        Ok(Connector::new(Arc::new(config))?)
    }

    fn channel(&self, servers: Vec<String>) -> anyhow::Result<Channel> {
        let first = servers.first().context("--endpoints names nobody")?.clone();
        let malformed = || format!("--endpoints: {first} is malformed, expected HOST:PORT");
        let connector = self.connector(servers)?;
        // TLS is the connector's; tonic is told plain http, and the true origin for the requests' authority.
        let endpoint = Endpoint::from_shared(first.replacen("https://", "http://", 1))
            .with_context(malformed)?
            .origin(first.parse().with_context(malformed)?)
            .timeout(self.timeout);
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    /// Whoever answers of `servers`, called as the user of --user.
    pub async fn service(&self, servers: Vec<String>) -> anyhow::Result<Service> {
        let mut services = self.services(&servers, 1).await?;
        services.pop().context("one service")
    }

    /// So many connections of their own, spread over `servers`; the user's token is one for all.
    pub async fn services(&self, servers: &[String], count: usize) -> anyhow::Result<Vec<Service>> {
        let token = self.token(servers).await?;
        let channels = (0..count).map(|at| {
            let mut servers = servers.to_vec();
            let first = at % servers.len().max(1);
            servers.rotate_left(first);
            Ok(InterceptedService::new(self.channel(servers)?, token.clone()))
        });
        channels.collect()
    }

    async fn token(&self, servers: &[String]) -> anyhow::Result<Token> {
        let Some((name, password)) = self.user.clone() else { return Ok(Token::default()) };
        let mut auth = AuthClient::new(self.channel(servers.to_vec())?);
        let answer = auth.authenticate(etcd::AuthenticateRequest { name, password }).await;
        let token = answer.map_err(|status| failed(&servers.join(", "), &status))?.into_inner().token;
        Ok(Token(Some(token.parse().context("the store gave a token that no header can hold")?)))
    }

    /// What a server answers to a plain GET. etcd takes HTTP/1.1 for it where there is no TLS, and HTTP/2 where there is.
    pub async fn get(&self, server: &str, path: &str) -> anyhow::Result<String> {
        let asked = async {
            match server.starts_with("https://") {
                true => self.get_http2(server, path).await,
                false => self.get_http1(server, path).await,
            }
        };
        let answer = tokio::time::timeout(self.timeout, asked).await;
        answer.context("no answer in --request-timeout").flatten().with_context(|| format!("reading {server}{path}"))
    }

    async fn get_http1(&self, server: &str, path: &str) -> anyhow::Result<String> {
        let uri: Uri = server.parse()?;
        let host = uri.authority().context("no host")?.to_string();
        let io = self.connector(vec![server.to_owned()])?.call(uri).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get(path).header("host", host).body(Empty::<bytes::Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        let text = read(answer).await;
        connection.abort();
        text
    }

    async fn get_http2(&self, server: &str, path: &str) -> anyhow::Result<String> {
        let mut channel = self.channel(vec![server.to_owned()])?;
        std::future::poll_fn(|context| channel.poll_ready(context)).await?;
        read(channel.call(Request::get(path).body(tonic::body::Body::empty())?).await?).await
    }

    pub async fn cluster(&self) -> anyhow::Result<ClusterClient<Service>> {
        Ok(ClusterClient::new(self.service(self.endpoints()).await?))
    }

    pub async fn maintenance(&self, server: &str) -> anyhow::Result<MaintenanceClient<Service>> {
        Ok(MaintenanceClient::new(self.service(vec![server.to_owned()]).await?))
    }

    /// What the store said went wrong, or why it could not be asked.
    pub fn failed(&self, status: tonic::Status) -> anyhow::Error {
        failed(&self.endpoints().join(", "), &status)
    }

    pub async fn members(&self) -> anyhow::Result<etcd::MemberListResponse> {
        let answer = self.cluster().await?.member_list(etcd::MemberListRequest { linearizable: true }).await;
        Ok(answer.map_err(|status| self.failed(status))?.into_inner())
    }

    /// How a member stands.
    pub async fn status(&self, server: &str) -> anyhow::Result<etcd::StatusResponse> {
        let answer = self.maintenance(server).await?.status(etcd::StatusRequest {}).await;
        Ok(answer.map_err(|status| failed(server, &status))?.into_inner())
    }
}

async fn read<B>(answer: Response<B>) -> anyhow::Result<String>
where
    B: hyper::body::Body,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let status = answer.status();
    if !status.is_success() {
        bail!("it answers {status}");
    }
    Ok(String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned())
}

pub fn failed(server: &str, status: &tonic::Status) -> anyhow::Error {
    if status.message().starts_with("etcdserver:") || status.code() != tonic::Code::Unavailable {
        return anyhow::anyhow!("{}", status.message());
    }
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        reason = cause.to_string();
        source = cause.source();
    }
    Unreachable(format!("error: the store at {server} does not answer: {reason}")).into()
}

/// The member that `word` names: by name, or by its id as it is shown.
pub fn find<'a>(members: &'a [etcd::Member], word: &str) -> anyhow::Result<&'a etcd::Member> {
    let mut named = members.iter().filter(|member| member.name == word);
    match (named.next(), named.next()) {
        (Some(found), None) => return Ok(found),
        (Some(_), Some(_)) => bail!("several members are named {word}; give the id (keelctl store member list)"),
        (None, _) => {}
    }
    let id = u64::from_str_radix(word, 16).ok();
    members
        .iter()
        .find(|member| Some(member.id) == id)
        .with_context(|| format!("no member has the name or id {word}; keelctl store member list shows them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_by_name_or_by_id_and_never_by_chance() {
        let member = |id, name: &str| etcd::Member { id, name: name.to_owned(), ..Default::default() };
        let members = [member(0xfee, "one"), member(0x12, "fee"), member(3, "twin"), member(4, "twin")];
        let found = |word| find(&members, word).map(|member| member.id);
        assert_eq!(found("one").unwrap(), 0xfee);
        assert_eq!(found("fee").unwrap(), 0x12, "a name wins over an id");
        assert_eq!(found("12").unwrap(), 0x12);
        assert!(found("twin").unwrap_err().to_string().contains("several"));
        assert!(found("nobody").unwrap_err().to_string().contains("no member"));
    }
}
