//! `keelctl store`: the store's members and their leader, on our store and on etcd.

mod check;
mod leader;
mod member;
mod remote;
mod snapshot;
mod status;

use crate::cli::Global;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub action: Action,
}

/// Where the store is, and who is calling: etcdctl's flags and variables.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Store options")]
pub struct Connection {
    /// Members to ask: HOST:PORT or URLs, separated by commas
    #[arg(
        long,
        global = true,
        value_name = "ENDPOINTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379",
        env = "ETCDCTL_ENDPOINTS"
    )]
    pub endpoints: Vec<String>,
    /// The CA certificate of the store
    #[arg(long, global = true, value_name = "FILE", env = "ETCDCTL_CACERT")]
    pub cacert: Option<String>,
    /// The certificate to show to the store
    #[arg(long, global = true, value_name = "FILE", env = "ETCDCTL_CERT")]
    pub cert: Option<String>,
    /// Its key
    #[arg(long, global = true, value_name = "FILE", env = "ETCDCTL_KEY")]
    pub key: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Show how each member stands
    Status(status::Args),
    /// List and change the members
    Member(member::Args),
    /// Move leadership
    Leader(leader::Args),
    /// Check how fast the store is, and what data costs it
    Check(check::Args),
    /// Save, look at and restore backups
    Snapshot(snapshot::Args),
    /// Make a data folder from a running etcd: --from-etcd ENDPOINT
    #[command(after_help = "Flags: keelson-store snapshot import --help")]
    Import(snapshot::StoreArgs),
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if let Action::Import(import) = &args.action {
        return snapshot::import(&args.connection, global.user.as_deref(), import);
    }
    let remote = remote::Remote::new(global, args.connection)?;
    match args.action {
        Action::Status(args) => status::run(&remote, args).await,
        Action::Member(args) => member::run(&remote, args).await,
        Action::Leader(args) => leader::run(&remote, args).await,
        Action::Check(args) => check::run(&remote, args).await,
        Action::Snapshot(args) => snapshot::run(&remote, args).await,
        // Done already: it asks no store of ours.
        Action::Import(_) => Ok(()),
    }
}

/// A number as etcd shows ids.
fn id(number: u64) -> String {
    format!("{number:x}")
}
