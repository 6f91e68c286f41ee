//! `keelctl store leader move`

use anyhow::{Context, bail};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;

use super::id;
use super::remote::{Remote, failed, find};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Let another member lead
    Move(Move),
}

#[derive(Debug, clap::Args)]
pub struct Move {
    /// The name or id of the member that shall lead
    pub member: String,
}

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    let Action::Move(args) = args.action;
    let members = remote.members().await?.members;
    let target = find(&members, &args.member)?.id;
    let leader = leader(remote).await?;
    if leader == target {
        crate::say!("member {} leads already", id(target));
        return Ok(());
    }
    // Only the leader can hand over.
    let urls = members.iter().find(|member| member.id == leader).map(|member| member.client_urls.clone());
    let urls =
        urls.filter(|urls| !urls.is_empty()).with_context(|| format!("the leader {leader:x} has no client URL"))?;
    let named = urls.join(", ");
    let service = remote.service(urls).await?;
    let mut maintenance = MaintenanceClient::new(service);
    let answer = maintenance.move_leader(etcd::MoveLeaderRequest { target_id: target }).await;
    answer.map_err(|status| failed(&named, &status))?;
    crate::say!("leadership moved from {} to {}", id(leader), id(target));
    Ok(())
}

/// Who leads, as the first endpoint that knows says.
async fn leader(remote: &Remote) -> anyhow::Result<u64> {
    let mut problem = None;
    for endpoint in remote.endpoints() {
        match remote.status(&endpoint).await {
            Ok(status) if status.leader != 0 => return Ok(status.leader),
            Ok(_) => {}
            Err(error) => problem = Some(error),
        }
    }
    match problem {
        Some(problem) => Err(problem),
        None => bail!("etcdserver: no leader"),
    }
}
