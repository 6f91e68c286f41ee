//! `keelctl store check datascale`

use super::prefix::Prefix;
use super::writers::{Plan, interrupted, write};
use super::{Common, clean_up, memory};
use crate::command::store::remote::Remote;
use crate::error::Exit;

pub const HELP: &str = "\
Loads (pairs of 1 KiB: a key of 512 bytes and a value of as many):
  s    10000 pairs by 50 clients
  m    100000 by 200
  l    1000000 by 500
  xl   3000000 by 1000

Asks the first endpoint only. Its resident memory is read from its /metrics before and after, so what others write \
meanwhile is in the figure too. It fails, with exit code 1, when a write fails.

The keys below --prefix are deleted at the end, also after Ctrl-C; the store's history keeps them until it is compacted \
(--auto-compact).

Examples:
  # What do 100 MiB of data cost in memory?
  keelctl store check datascale --load m --auto-compact";

const KEY_BYTES: usize = 512;
const VALUE_BYTES: usize = 512;
const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    /// Where the keys are written; there must be none yet
    #[arg(long, default_value = "/etcdctl-check-datascale/")]
    pub prefix: String,
}

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    let endpoint = remote.endpoints().into_iter().take(1).collect::<Vec<_>>();
    let prefix = Prefix::unused(remote, &args.prefix).await?;
    let data = args.common.load.data();
    let plan = Plan {
        prefix: args.prefix.clone(),
        key_bytes: KEY_BYTES,
        value_bytes: VALUE_BYTES,
        count: data.pairs,
        writes_per_second: None,
        lasts: None,
    };
    let before = memory::resident(remote).await?;
    let services = remote.services(&endpoint, data.clients).await?;
    crate::say!(
        "Start data scale check for work load [{} key-value pairs, {} bytes per key-value, {} concurrent clients].",
        data.pairs,
        KEY_BYTES + VALUE_BYTES,
        data.clients
    );
    let written = write(services, plan).await;
    let after = memory::resident(remote).await;
    clean_up(&prefix, remote, &args.common, written.tally.count).await?;
    if written.interrupted {
        return Err(interrupted());
    }
    let failures = written.tally.failures();
    if !failures.is_empty() {
        crate::terminal::print(&(failures.join("\n") + "\n"))?;
        return Err(Exit { code: 1, message: String::new() }.into());
    }
    // It may have given memory back meanwhile.
    let used = after?.saturating_sub(before) as f64 / MIB;
    crate::say!("PASS: Approximate system memory used : {used:.2} MB.");
    Ok(())
}
