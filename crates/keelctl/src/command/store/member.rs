//! `keelctl store member`: list, add, promote, remove, update.

use proto::etcdserverpb as etcd;
use serde_json::{Value, json};

use super::id;
use super::remote::{Remote, find};
use crate::output::{tabs, to_json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Show the members
    List(List),
    /// Make room for a new member, which is started afterwards
    Add(Add),
    /// Give a learner its vote
    Promote(Which),
    /// Take a member out of the cluster
    Remove(Which),
    /// Tell the others where a member is reached from now on
    Update(Update),
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// json
    #[arg(short = 'o', long, value_parser = ["json"])]
    pub output: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Add {
    /// The new member's name
    pub name: String,
    /// Where the others will reach it, separated by commas
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    pub peer_urls: Vec<String>,
    /// It learns first and has no vote until it is promoted
    #[arg(long)]
    pub learner: bool,
    /// json
    #[arg(short = 'o', long, value_parser = ["json"])]
    pub output: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Which {
    /// The member's name or id
    pub member: String,
}

#[derive(Debug, clap::Args)]
pub struct Update {
    /// The member's name or id
    pub member: String,
    /// Where the others will reach it, separated by commas
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    pub peer_urls: Vec<String>,
}

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::List(args) => list(remote, args).await,
        Action::Add(args) => add(remote, args).await,
        Action::Promote(args) => promote(remote, args).await,
        Action::Remove(args) => remove(remote, args).await,
        Action::Update(args) => update(remote, args).await,
    }
}

async fn list(remote: &Remote, args: List) -> anyhow::Result<()> {
    let rsp = remote.members().await?;
    if args.output.is_some() {
        let cluster = id(rsp.header.as_ref().map_or(0, |header| header.cluster_id));
        let members: Vec<Value> = rsp.members.iter().map(to_value).collect();
        let value = json!({"clusterId": cluster, "members": members});
        return Ok(crate::terminal::print(&(to_json(&value) + "\n"))?);
    }
    let mut text = "ID\tSTATUS\tNAME\tPEER URLS\tCLIENT URLS\tROLE\n".to_owned();
    for member in &rsp.members {
        let status = if member.name.is_empty() { "unstarted" } else { "started" };
        let role = if member.is_learner { "learner" } else { "voter" };
        let (peers, clients) = (member.peer_urls.join(","), member.client_urls.join(","));
        text.push_str(&format!("{}\t{status}\t{}\t{peers}\t{clients}\t{role}\n", id(member.id), member.name));
    }
    Ok(crate::terminal::print(&tabs::table(&text))?)
}

fn to_value(member: &etcd::Member) -> Value {
    json!({
        "id": id(member.id),
        "name": member.name,
        "peerUrls": member.peer_urls,
        "clientUrls": member.client_urls,
        "isLearner": member.is_learner,
    })
}

async fn add(remote: &Remote, args: Add) -> anyhow::Result<()> {
    let request = etcd::MemberAddRequest { peer_urls: args.peer_urls, is_learner: args.learner };
    let answer = remote.cluster().await?.member_add(request).await;
    let rsp = answer.map_err(|status| remote.failed(status))?.into_inner();
    let added = rsp.member.unwrap_or_default();
    let cluster = initial_cluster(&rsp.members, added.id, &args.name);
    if args.output.is_some() {
        let members: Vec<Value> = rsp.members.iter().map(to_value).collect();
        let value = json!({"member": to_value(&added), "members": members, "initialCluster": cluster});
        return Ok(crate::terminal::print(&(to_json(&value) + "\n"))?);
    }
    let role = if added.is_learner { " as a learner" } else { "" };
    crate::say!("member {} added{role}; start it with an empty data folder and", id(added.id));
    crate::say!("  --name {} \\", args.name);
    crate::say!("  --initial-advertise-peer-urls {} \\", added.peer_urls.join(","));
    crate::say!("  --initial-cluster {cluster} \\");
    crate::say!("  --initial-cluster-state existing");
    Ok(())
}

/// What the new member's --initial-cluster must be.
fn initial_cluster(members: &[etcd::Member], added: u64, name: &str) -> String {
    let mut pairs = Vec::new();
    for member in members {
        let name = if member.id == added { name } else { &member.name };
        pairs.extend(member.peer_urls.iter().map(|url| format!("{name}={url}")));
    }
    pairs.join(",")
}

async fn promote(remote: &Remote, args: Which) -> anyhow::Result<()> {
    let member = find(&remote.members().await?.members, &args.member)?.id;
    let answer = remote.cluster().await?.member_promote(etcd::MemberPromoteRequest { id: member }).await;
    answer.map_err(|status| remote.failed(status))?;
    crate::say!("member {} promoted: it votes from now on", id(member));
    Ok(())
}

async fn remove(remote: &Remote, args: Which) -> anyhow::Result<()> {
    let member = find(&remote.members().await?.members, &args.member)?.id;
    let answer = remote.cluster().await?.member_remove(etcd::MemberRemoveRequest { id: member }).await;
    answer.map_err(|status| remote.failed(status))?;
    crate::say!("member {} removed", id(member));
    Ok(())
}

async fn update(remote: &Remote, args: Update) -> anyhow::Result<()> {
    let member = find(&remote.members().await?.members, &args.member)?.id;
    let request = etcd::MemberUpdateRequest { id: member, peer_urls: args.peer_urls };
    let answer = remote.cluster().await?.member_update(request).await;
    answer.map_err(|status| remote.failed(status))?;
    crate::say!("member {} updated", id(member));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_member_is_named_in_the_list_that_it_starts_with() {
        let member = |id, name: &str, urls: &[&str]| etcd::Member {
            id,
            name: name.to_owned(),
            peer_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            ..Default::default()
        };
        let members = [member(1, "a", &["http://1:2380", "http://2:2380"]), member(2, "", &["http://3:2380"])];
        assert_eq!(initial_cluster(&members, 2, "b"), "a=http://1:2380,a=http://2:2380,b=http://3:2380");
    }
}
