//! `keelctl store status`

use proto::etcdserverpb as etcd;
use serde_json::{Value, json};

use super::id;
use super::remote::Remote;
use crate::error::Exit;
use crate::output::{tabs, to_json};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask every member of the cluster, not only the endpoints that are given
    #[arg(long)]
    pub all_members: bool,
    /// json
    #[arg(short = 'o', long, value_parser = ["json"])]
    pub output: Option<String>,
}

type Row = (String, anyhow::Result<etcd::StatusResponse>);

pub async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    let endpoints = match args.all_members {
        false => remote.endpoints(),
        true => remote.members().await?.members.into_iter().flat_map(|member| member.client_urls).collect(),
    };
    let asked = endpoints.into_iter().map(|endpoint| async move {
        let status = remote.status(&endpoint).await;
        (endpoint, status)
    });
    let rows: Vec<Row> = futures::future::join_all(asked).await;
    if args.output.is_some() {
        let all: Vec<Value> = rows.iter().map(to_value).collect();
        crate::terminal::print(&(to_json(&Value::from(all)) + "\n"))?;
    } else {
        crate::terminal::print(&tabs::table(&table(&rows)))?;
    }
    let silent = rows.iter().filter(|(_, status)| status.is_err()).count();
    match silent {
        0 => Ok(()),
        _ => Err(Exit { code: 1, message: format!("error: {silent} of {} members do not answer", rows.len()) }.into()),
    }
}

fn member_id(status: &etcd::StatusResponse) -> u64 {
    status.header.as_ref().map_or(0, |header| header.member_id)
}

fn role(status: &etcd::StatusResponse) -> &'static str {
    match status {
        status if status.is_learner => "learner",
        status if status.leader == member_id(status) && status.leader != 0 => "leader",
        _ => "follower",
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = "ENDPOINT\tID\tVERSION\tSIZE\tIN USE\tROLE\tTERM\tINDEX\tAPPLIED\tERRORS\n".to_owned();
    for (endpoint, status) in rows {
        let cells = match status {
            Ok(status) => [
                id(member_id(status)),
                status.version.clone(),
                bytes(status.db_size),
                bytes(status.db_size_in_use),
                role(status).to_owned(),
                status.raft_term.to_string(),
                status.raft_index.to_string(),
                status.raft_applied_index.to_string(),
                status.errors.join("; "),
            ]
            .join("\t"),
            Err(problem) => format!("\t\t\t\t\t\t\t\t{problem}"),
        };
        text.push_str(&format!("{endpoint}\t{cells}\n"));
    }
    text
}

fn to_value((endpoint, status): &Row) -> Value {
    match status {
        Err(problem) => json!({"endpoint": endpoint, "error": problem.to_string()}),
        Ok(status) => json!({
            "endpoint": endpoint,
            "clusterId": id(status.header.as_ref().map_or(0, |header| header.cluster_id)),
            "memberId": id(member_id(status)),
            "revision": status.header.as_ref().map_or(0, |header| header.revision),
            "version": status.version,
            "dbSize": status.db_size,
            "dbSizeInUse": status.db_size_in_use,
            "leader": id(status.leader),
            "isLearner": status.is_learner,
            "raftTerm": status.raft_term,
            "raftIndex": status.raft_index,
            "raftAppliedIndex": status.raft_applied_index,
            "errors": status.errors,
        }),
    }
}

fn bytes(count: i64) -> String {
    let count = count as f64;
    match count {
        count if count < 1e3 => format!("{count} B"),
        count if count < 1e6 => format!("{:.1} kB", count / 1e3),
        count if count < 1e9 => format!("{:.1} MB", count / 1e6),
        count => format!("{:.1} GB", count / 1e9),
    }
}
