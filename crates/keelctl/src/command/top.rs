//! `keelctl top`: there are no metrics yet, and it says so.

use anyhow::bail;

use crate::cli::Global;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// node or pod
    pub what: Option<String>,
    /// Names
    pub names: Vec<String>,
}

#[expect(clippy::unused_async, reason = "as every command")]
pub async fn run(_global: &Global, _args: Args) -> anyhow::Result<()> {
    bail!(
        "Metrics API not available: Keelson does not collect resource metrics yet; `keelctl describe node NAME` shows what pods request, and `keelctl exec` with top what a container uses"
    )
}
