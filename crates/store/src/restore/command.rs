//! `keelson-store snapshot`: what the program does with backups, without a running member.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::fetch::Source;
use super::folder::Draft;
use super::{RestoreError, fetch, file, found, load, status};
use crate::archive::read::{self, Upto};
use crate::config::{Config, Ids};
use crate::engine::{Writer, open};
use crate::env::Env;
use crate::state::State;

/// What else the program does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Look at backups, and make new clusters of them
    Snapshot {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Make the data folder of a new cluster's member from a backup
    Restore(RestoreArgs),
    /// Make the data folder of a new cluster's member from a running etcd
    Import(ImportArgs),
    /// Tell what a backup holds
    Status(StatusArgs),
}

/// The member to be, with etcd's flags.
#[derive(Clone, Debug, Args)]
pub struct MemberArgs {
    /// The member's name
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Folder to make; default: NAME.keelson
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The new cluster's members: NAME=PEER-URL, separated by commas
    #[arg(long, value_name = "MEMBERS", default_value = "default=http://localhost:2380")]
    pub initial_cluster: String,
    /// Tells clusters apart that began alike
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// This member's URLs as other members dial them, separated by commas
    #[arg(long, value_name = "URLS", default_value = "http://localhost:2380")]
    pub initial_advertise_peer_urls: String,
    /// Move the revision on by so much, so that it is ahead of all that clients of the old cluster have seen
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub bump_revision: u32,
    /// Compact everything before the new revision, so that watchers of the old cluster notice
    #[arg(long)]
    pub mark_compacted: bool,
}

#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The backup, ours or etcd's; with --archive-dir it may be left out where the archive begins with the cluster
    #[arg(value_name = "FILE", required_unless_present = "archive_dir")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub member: MemberArgs,
    /// Take a file that has no checksum, such as one that was copied out of etcd's data folder
    #[arg(long)]
    pub skip_hash_check: bool,
    /// Go on from the backup with what was archived since
    #[arg(long, value_name = "DIR")]
    pub archive_dir: Option<PathBuf>,
    /// The last revision to restore from the archive
    #[arg(long, value_name = "REVISION", requires = "archive_dir", conflicts_with = "to_time")]
    pub to_revision: Option<i64>,
    /// Restore what was archived up to this time, such as 2026-11-30T21:00:00Z
    #[arg(long, value_name = "TIME", requires = "archive_dir")]
    pub to_time: Option<jiff::Timestamp>,
}

#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub member: MemberArgs,
}

#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The backup, ours or etcd's
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Take a file that has no checksum
    #[arg(long)]
    pub skip_hash_check: bool,
    /// table, simple or json
    #[arg(short = 'w', long, default_value = "table", value_parser = ["table", "simple", "json"])]
    pub write_out: String,
}

impl Command {
    pub async fn run(self) -> Result<(), RestoreError> {
        let Self::Snapshot { action } = self;
        match action {
            Action::Restore(args) => say(&restore(&args)?),
            Action::Import(args) => say(&import(&args).await?),
            Action::Status(args) => {
                let db = file::open(&args.file, args.skip_hash_check)?;
                let status = status::of(&args.file, &db)?;
                say(&match args.write_out.as_str() {
                    "json" => status.json(),
                    "simple" => status.simple(),
                    _ => status.table(),
                });
            }
        }
        Ok(())
    }
}

fn say(text: &str) {
    // Whoever reads may have seen enough (`| head`).
    let _closed = std::io::stdout().write_all(text.as_bytes());
}

/// Restores a file, an archive, or the one and then the other; says what came of it.
pub fn restore(args: &RestoreArgs) -> Result<String, RestoreError> {
    let target = Target::of(&args.member)?;
    let draft = Draft::begin(&target.data_dir)?;
    let (env, mut writer) = begin(&draft)?;
    let mut state = match &args.file {
        Some(path) => load::load(path, &file::open(path, args.skip_hash_check)?, &mut writer)?,
        None => State::default(),
    };
    if let Some(archive) = &args.archive_dir {
        let upto = match (args.to_revision, args.to_time) {
            (Some(revision), _) => Upto::Revision(revision),
            (_, Some(time)) => Upto::Time(time.as_millisecond()),
            _ => Upto::End,
        };
        read::replay(&read::find(archive)?, &mut state, &mut writer, upto)?;
        load::trim(&mut state);
    }
    target.finish(&env, draft, state, writer)
}

/// Restores what a running etcd holds.
pub async fn import(args: &ImportArgs) -> Result<String, RestoreError> {
    let target = Target::of(&args.member)?;
    let draft = Draft::begin(&target.data_dir)?;
    let path = draft.path().join("import.db");
    fetch::fetch(&args.source, &path).await?;
    let (env, mut writer) = begin(&draft)?;
    let state = load::load(&path, &file::open(&path, false)?, &mut writer)?;
    std::fs::remove_file(&path).map_err(|source| RestoreError::File { path, source })?;
    target.finish(&env, draft, state, writer)
}

fn begin(draft: &Draft) -> Result<(Env, Writer), RestoreError> {
    let failed = |source| RestoreError::Write { path: draft.path().to_owned(), source };
    let env = Env::os(draft.path()).map_err(failed)?;
    let writer = open::create(&env, 1).map_err(failed)?;
    Ok((env, writer))
}

/// The member to make.
struct Target {
    data_dir: PathBuf,
    ids: Ids,
    /// How far the revision moves on; everything before is compacted then.
    bump: Option<i64>,
}

impl Target {
    fn of(args: &MemberArgs) -> Result<Self, RestoreError> {
        let mut flags = vec!["keelson-store".into()];
        for (flag, value) in [
            ("--name", &args.name),
            ("--initial-cluster", &args.initial_cluster),
            ("--initial-cluster-token", &args.initial_cluster_token),
            ("--initial-advertise-peer-urls", &args.initial_advertise_peer_urls),
        ] {
            flags.extend([flag.into(), value.into()]);
        }
        let config: Config = daemon::cli::parse_from(flags).map_err(|error| RestoreError::Flags(error.to_string()))?;
        let ids = config.ids()?;
        check_urls(&config, &ids)?;
        let bump = match (args.bump_revision, args.mark_compacted) {
            (0, false) => None,
            (1.., true) => Some(args.bump_revision.into()),
            _ => return Err(RestoreError::Flags("--bump-revision and --mark-compacted go together".to_owned())),
        };
        let data_dir = args.data_dir.clone().unwrap_or_else(|| config.data_dir());
        Ok(Self { data_dir, ids, bump })
    }

    fn finish(&self, env: &Env, draft: Draft, mut state: State, mut writer: Writer) -> Result<String, RestoreError> {
        if let Some(bump) = self.bump {
            let revision = state.index.revision() + bump;
            state.index.set_revision(revision);
            state.index.restore_compacted(revision);
            load::trim(&mut state);
        }
        found::found(env, &mut state, &mut writer, &self.ids)?;
        drop(writer);
        draft.finish()?;
        Ok(format!(
            "restored revision {} with {} keys and {} leases into {}: member {:x} of cluster {:x}\n",
            state.index.revision(),
            state.index.len(),
            state.lessor.iter().count(),
            self.data_dir.display(),
            self.ids.member_id,
            self.ids.cluster_id
        ))
    }
}

/// As in etcd: what a member advertises is what --initial-cluster says of it.
fn check_urls(config: &Config, ids: &Ids) -> Result<(), RestoreError> {
    let named = ids.members.get(&ids.member_id).map(|peer| peer.peer_urls.clone()).unwrap_or_default();
    let mut advertised = config.cluster.initial_advertise_peer_urls.clone();
    advertised.sort();
    if named == advertised {
        return Ok(());
    }
    let text = format!(
        "--initial-cluster has {} for {}, but --initial-advertise-peer-urls is {}",
        named.join(","),
        config.name,
        advertised.join(",")
    );
    Err(RestoreError::Flags(text))
}

/// Flags for tests.
#[cfg(test)]
pub fn member_args(data_dir: &std::path::Path) -> MemberArgs {
    MemberArgs {
        name: "default".to_owned(),
        data_dir: Some(data_dir.to_owned()),
        initial_cluster: "default=http://localhost:2380".to_owned(),
        initial_cluster_token: "restored".to_owned(),
        initial_advertise_peer_urls: "http://localhost:2380".to_owned(),
        bump_revision: 0,
        mark_compacted: false,
    }
}
