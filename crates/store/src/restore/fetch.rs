//! A backup of a running etcd, or of a running store: its Snapshot stream, as a file.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use daemon::tls::ClientIdentity;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::RestoreError;

/// A message of the stream, at most; etcd's are much smaller.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The etcd to take over from.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// A client URL of the etcd, such as https://10.0.0.1:2379
    #[arg(long, value_name = "ENDPOINT")]
    pub from_etcd: String,
    /// CA of its certificate
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Certificate to show to it
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Who asks, where access is by users: NAME:PASSWORD
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub user: Option<String>,
}

/// Writes the backup of `source` to the file `to`.
pub async fn fetch(source: &Source, to: &Path) -> Result<(), RestoreError> {
    let fetching = |error: Box<dyn std::error::Error + Send + Sync>| RestoreError::Fetch {
        endpoint: source.from_etcd.clone(),
        source: error,
    };
    let channel = channel(source).map_err(fetching)?;
    let mut req = Request::new(etcd::SnapshotRequest {});
    if let Some(token) = token(source, channel.clone()).await.map_err(fetching)? {
        req.metadata_mut().insert("token", token);
    }
    let mut client = MaintenanceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut pieces = client.snapshot(req).await.map_err(|status| fetching(status.into()))?.into_inner();
    let failed = |error| RestoreError::File { path: to.to_owned(), source: error };
    let mut file = std::fs::File::create(to).map_err(failed)?;
    while let Some(piece) = pieces.message().await.map_err(|status| fetching(status.into()))? {
        file.write_all(&piece.blob).map_err(failed)?;
    }
    Ok(())
}

fn channel(source: &Source) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
    let endpoint = &source.from_etcd;
    let url = if endpoint.contains("://") { endpoint.clone() } else { format!("http://{endpoint}") };
    if !url.starts_with("https://") {
        return Ok(Endpoint::from_shared(url)?.tcp_nodelay(true).connect_lazy());
    }
    let ca = source.cacert.clone().ok_or("an https endpoint needs --cacert")?;
    let pair = source.cert.clone().zip(source.key.clone());
    Ok(ClientIdentity::load(ca, pair)?.channel(&url, None)?)
}

type Token = tonic::metadata::MetadataValue<tonic::metadata::Ascii>;

async fn token(source: &Source, channel: Channel) -> Result<Option<Token>, Box<dyn std::error::Error + Send + Sync>> {
    let Some(user) = &source.user else { return Ok(None) };
    let (name, password) = user.split_once(':').ok_or("--user is NAME:PASSWORD")?;
    let req = etcd::AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
    let token = AuthClient::new(channel).authenticate(req).await?.into_inner().token;
    Ok(Some(token.parse()?))
}
