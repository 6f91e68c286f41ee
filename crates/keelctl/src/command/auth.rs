//! `keelctl auth`: who am I, and what may I do.

use anyhow::bail;
use proto::keelson::api::v1 as rpc;

use crate::cli::Global;
use crate::error::Exit;
use crate::output::tabs;
use crate::remote::Remote;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Whom the server takes me for
    Whoami,
    /// May I do this: create pods, get pods/p, get pods --subresource=log
    CanI(CanI),
}

#[derive(Debug, clap::Args)]
pub struct CanI {
    /// get, list, watch, create, update, patch, delete, ...
    pub verb: String,
    /// The resource, or RESOURCE/NAME
    pub resource: String,
    /// The object's name
    pub name: Option<String>,
    /// A subresource: log, status
    #[arg(long, default_value = "", hide_default_value = true)]
    pub subresource: String,
    /// In every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only the exit code
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    match args.action {
        Action::Whoami => whoami(&remote).await,
        Action::CanI(args) => can_i(&remote, args).await,
    }
}

async fn whoami(remote: &Remote) -> anyhow::Result<()> {
    let answer = remote.auth().who_am_i(rpc::WhoAmIRequest {}).await;
    let user = answer.map_err(|status| remote.failed(status))?.into_inner();
    let mut text = format!("ATTRIBUTE\tVALUE\nUsername\t{}\n", user.username);
    if !user.uid.is_empty() {
        text.push_str(&format!("UID\t{}\n", user.uid));
    }
    text.push_str(&format!("Groups\t[{}]\n", user.groups.join(" ")));
    for (key, values) in &user.extra {
        text.push_str(&format!("Extra: {key}\t[{}]\n", values.items.join(" ")));
    }
    Ok(crate::terminal::print(&tabs::table(&text))?)
}

async fn can_i(remote: &Remote, args: CanI) -> anyhow::Result<()> {
    let (word, name) = match args.resource.split_once('/') {
        Some((word, name)) => (word.to_owned(), name.to_owned()),
        None => (args.resource.clone(), args.name.clone().unwrap_or_default()),
    };
    if args.resource.contains('/') && args.name.is_some() {
        bail!("the name is given twice: {} and {}", args.resource, args.name.unwrap_or_default());
    }
    let catalog = remote.catalog().await?;
    let (group, resource, namespaced) = match catalog.find(&word) {
        Ok(found) => (found.group.clone(), found.plural.clone(), found.namespaced),
        Err(_) if word == "*" => (String::new(), "*".to_owned(), true),
        Err(problem) => {
            crate::complain!("Warning: {problem}");
            (String::new(), word, true)
        }
    };
    let request = rpc::ReviewAccessRequest {
        verb: args.verb,
        group,
        resource,
        subresource: args.subresource,
        namespace: if args.all_namespaces || !namespaced { String::new() } else { remote.namespace.clone() },
        name,
    };
    let answer = remote.auth().review_access(request).await;
    let answer = answer.map_err(|status| remote.failed(status))?.into_inner();
    if !args.quiet {
        let reason =
            if answer.reason.is_empty() || answer.allowed { String::new() } else { format!(" - {}", answer.reason) };
        crate::say!("{}{reason}", if answer.allowed { "yes" } else { "no" });
    }
    if answer.allowed { Ok(()) } else { Err(Exit { code: 1, message: String::new() }.into()) }
}
