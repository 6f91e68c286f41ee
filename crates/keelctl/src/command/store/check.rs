//! `keelctl store check`: etcdctl's two checks, of any etcd v3 store: does it keep up, and what does data cost it.

mod datascale;
mod load;
mod memory;
mod perf;
mod prefix;
mod progress;
mod tally;
mod writers;

use super::remote::Remote;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Write at a steady rate for a minute: does the store keep up?
    #[command(after_help = perf::HELP)]
    Perf(perf::Args),
    /// Write a data set: how much memory does it take?
    #[command(after_help = datascale::HELP)]
    Datascale(datascale::Args),
}

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Perf(args) => perf::run(remote, args).await,
        Action::Datascale(args) => datascale::run(remote, args).await,
    }
}

/// What both checks take.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// How much to write: see below
    #[arg(long, value_enum, ignore_case = true, default_value_t = load::Load::S)]
    pub load: load::Load,
    /// Compact the store's history when it is done, so that the space of what was written comes back
    #[arg(long)]
    pub auto_compact: bool,
    /// Defragment the members when it is done; etcd needs that to give space back, our store does so by itself
    #[arg(long)]
    pub auto_defrag: bool,
}

/// Cleans up however the check ended, and tells of both.
async fn clean_up(checked: &prefix::Prefix, remote: &Remote, common: &Common, written: u64) -> anyhow::Result<()> {
    let revision = checked.delete(remote, written).await?;
    if common.auto_compact {
        prefix::compact(remote, revision).await?;
    }
    if common.auto_defrag {
        prefix::defragment(remote).await?;
    }
    Ok(())
}
