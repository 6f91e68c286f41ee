//! `keelctl store snapshot save|status|restore` and `store import`: backups of our store and of etcd.
//!
//! Saving is one call. What reads and makes data folders is the store's own program, which is run for it: it lies beside
//! keelctl, or in the path.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use proto::etcdserverpb as etcd;
use sha2::{Digest, Sha256};

use super::Connection;
use super::remote::Remote;

/// Bytes of the checksum behind a backup.
const SUM_LEN: usize = 32;
/// A message of a backup, at most.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const PROGRAM: &str = "keelson-store";

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Save a backup of a running store, or etcd, to a file
    Save(SaveArgs),
    /// Tell what a backup holds: hash, revision, keys, size
    #[command(after_help = "Flags: keelson-store snapshot status --help")]
    Status(StoreArgs),
    /// Make a new cluster's data folder from a backup, and from an archive
    #[command(after_help = "Flags: keelson-store snapshot restore --help")]
    Restore(StoreArgs),
}

#[derive(Debug, clap::Args)]
pub struct SaveArgs {
    /// The file to make
    pub file: PathBuf,
}

/// What the store's own program takes.
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// As `keelson-store snapshot` takes them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub args: Vec<OsString>,
}

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Save(args) => save(remote, &args.file).await,
        Action::Status(args) => execute("status", &args.args),
        Action::Restore(args) => execute("restore", &args.args),
    }
}

/// `keelctl store import --from-etcd ENDPOINT`; certificates and user of the command line go along.
pub fn import(connection: &Connection, user: Option<&str>, args: &StoreArgs) -> anyhow::Result<()> {
    let mut all = args.args.clone();
    let given = [
        ("--cacert", connection.cacert.as_deref()),
        ("--cert", connection.cert.as_deref()),
        ("--key", connection.key.as_deref()),
        ("--user", user),
    ];
    for (flag, value) in given {
        if let Some(value) = value {
            all.extend([flag.into(), value.into()]);
        }
    }
    execute("import", &all)
}

/// Runs the store's program; its words are ours, and so is its failure.
fn execute(action: &str, args: &[OsString]) -> anyhow::Result<()> {
    let program = program();
    let quiet = ["--log-filter=warn", "--logging-format=text"];
    let status = Command::new(&program).args(quiet).args(["snapshot", action]).args(args).status();
    let status = status.with_context(|| {
        format!("{} does not start; it has to lie beside keelctl or in the PATH", program.display())
    })?;
    ensure!(status.success(), "{PROGRAM} snapshot {action} failed");
    Ok(())
}

fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PROGRAM.into())
}

/// Saves to a file that is there whole, or not at all.
async fn save(remote: &Remote, path: &Path) -> anyhow::Result<()> {
    let server = remote.endpoints().into_iter().next().context("--endpoints names nobody")?;
    let client = remote.maintenance(&server).await?;
    let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
    let pieces = client.snapshot(etcd::SnapshotRequest {}).await.map_err(|status| remote.failed(status))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("writing in {}", folder.display()))?;
    let mut pieces = pieces.into_inner();
    let (mut sum, mut saved) = (Sum::default(), 0);
    while let Some(piece) = pieces.message().await.map_err(|status| remote.failed(status))? {
        file.write_all(&piece.blob).with_context(|| format!("writing {}", path.display()))?;
        sum.update(&piece.blob);
        saved += piece.blob.len() as u64;
        progress(saved, saved + piece.remaining_bytes);
    }
    sum.check()?;
    file.as_file().sync_all().with_context(|| format!("writing {}", path.display()))?;
    file.persist(path).with_context(|| format!("writing {}", path.display()))?;
    crate::terminal::print(&format!("Snapshot saved at {}\n", path.display()))?;
    Ok(())
}

/// Tells how far it is, on a terminal.
fn progress(saved: u64, all: u64) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let end = if saved >= all { "\n" } else { "" };
        // Somebody may have closed it.
        let _closed = write!(terminal, "\r{} of {} MiB{end}", saved >> 20, all >> 20);
    }
}

/// The checksum of everything but the last bytes, which are the checksum itself.
#[derive(Default)]
struct Sum {
    sum: Sha256,
    /// The last bytes so far.
    tail: Vec<u8>,
}

impl Sum {
    fn update(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let summed = self.tail.len().saturating_sub(SUM_LEN);
        self.sum.update(&self.tail[..summed]);
        self.tail.drain(..summed);
    }

    fn check(self) -> anyhow::Result<()> {
        if self.sum.finalize().as_slice() != self.tail.as_slice() {
            bail!("the backup broke off or was changed on its way; nothing was saved");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_whole_only_with_its_checksum() {
        let body = b"somebody".to_vec();
        let whole = [body.as_slice(), Sha256::digest(&body).as_slice()].concat();
        for len in 1..=whole.len() {
            let mut sum = Sum::default();
            whole.chunks(len).for_each(|piece| sum.update(piece));
            sum.check().expect("whole");
            let mut sum = Sum::default();
            whole[..whole.len() - 1].chunks(len).for_each(|piece| sum.update(piece));
            sum.check().expect_err("cut");
        }
    }
}
