//! `keelctl store check perf`

use std::time::Duration;

use super::prefix::Prefix;
use super::writers::{Plan, write};
use super::{Common, clean_up};
use crate::command::store::remote::Remote;
use crate::error::Exit;

pub const HELP: &str = "\
Loads (keys of 256 bytes, values of 1 KiB):
  s    150 writes a second by 50 clients
  m    1000 by 200
  l    8000 by 500
  xl   15000 by 1000

It passes, with exit code 0, when at least 90 % of the writes were done in time, none failed, the slowest took at most \
0.5 s, and the standard deviation is at most 0.1 s. Else the lines that begin with FAIL say what was missed, and the exit \
code is 1.

The keys below --prefix are deleted at the end, also after Ctrl-C; the store's history keeps them until it is compacted \
(--auto-compact). The load is real: do not run it on a store that others need at full speed.

Examples:
  # Is this disk good enough for a small cluster?
  keelctl store check perf --endpoints 10.0.0.1:2379
  # A larger one, and nothing left behind
  keelctl store check perf --load m --auto-compact";

const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 1024;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    /// Where the keys are written; there must be none yet
    #[arg(long, default_value = "/etcdctl-check-perf/")]
    pub prefix: String,
    /// How long to write: 60s as etcdctl, 5m; a disk that is written for long may become slower
    #[arg(long, default_value = "60s", value_parser = crate::duration::parse)]
    pub duration: Duration,
}

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    let prefix = Prefix::unused(remote, &args.prefix).await?;
    let rate = args.common.load.rate();
    let plan = Plan {
        prefix: args.prefix.clone(),
        key_bytes: KEY_BYTES,
        value_bytes: VALUE_BYTES,
        count: (rate.writes_per_second as f64 * args.duration.as_secs_f64()).ceil() as u64,
        writes_per_second: Some(rate.writes_per_second),
        lasts: Some(args.duration),
    };
    let services = remote.services(&remote.endpoints(), rate.clients).await?;
    let written = write(services, plan).await;
    clean_up(&prefix, remote, &args.common, written.tally.count).await?;
    if written.interrupted {
        return Err(super::writers::interrupted());
    }
    let (lines, passed) = written.tally.judge(rate.writes_per_second);
    crate::terminal::print(&(lines.join("\n") + "\n"))?;
    match passed {
        true => Ok(()),
        // The lines have said it.
        false => Err(Exit { code: 1, message: String::new() }.into()),
    }
}
