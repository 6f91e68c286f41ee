//! The command line: global flags as kubectl has them, one subcommand a file in `command/`.

use clap::{Args, Parser, Subcommand};

use crate::command::*;

/// The companion command line of Keelson.
#[derive(Debug, Parser)]
#[command(
    name = "keelctl",
    version,
    about,
    disable_version_flag = true,
    propagate_version = false,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command: which cluster, who, which namespace.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The namespace to act in
    #[arg(short = 'n', long, global = true)]
    pub namespace: Option<String>,
    /// The kubeconfig file to read instead of KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// The kubeconfig context to use
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The kubeconfig cluster to use
    #[arg(long, global = true)]
    pub cluster: Option<String>,
    /// The kubeconfig user to use
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// The address of the API server
    #[arg(short = 's', long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// A bearer token to show to the server
    #[arg(long, global = true)]
    pub token: Option<String>,
    /// The CA certificate of the server
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<String>,
    /// A client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<String>,
    /// The key of the client certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<String>,
    /// The name to expect in the server's certificate
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Believe any server: what is sent can be read by whoever answers
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// How long a single request may take: 5s, 2m; 0 is unlimited
    #[arg(long, global = true, value_name = "DURATION")]
    pub request_timeout: Option<String>,
    /// How much to log, 0 to 9
    #[arg(short = 'v', long = "v", global = true, default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the cluster's objects what the manifests say
    Apply(apply::Args),
    /// Create objects from manifests or by name
    Create(create::Args),
    /// Show objects as a table, YAML or JSON
    Get(get::Args),
    /// Show an object in words, with its events
    Describe(describe::Args),
    /// Delete objects
    Delete(delete::Args),
    /// Print what containers wrote
    Logs(logs::Args),
    /// Run a command in a container
    Exec(exec::Args),
    /// Attach to a running container
    Attach(attach::Args),
    /// Copy files to and from containers
    Cp(cp::Args),
    /// Forward local ports to a pod
    PortForward(port_forward::Args),
    /// Set how many replicas run
    Scale(scale::Args),
    /// Follow, pause, restart or undo a rollout
    Rollout(rollout::Args),
    /// Set or remove labels
    Label(label::Args),
    /// Set or remove annotations
    Annotate(label::Args),
    /// Change fields of an object
    Patch(patch::Args),
    /// Change an object in your editor
    Edit(edit::Args),
    /// Show what apply would change
    Diff(diff::Args),
    /// Explain the fields of a kind
    Explain(explain::Args),
    /// Wait for a condition
    Wait(wait::Args),
    /// Show events in order of time
    Events(events::Args),
    /// Keep new pods off a node
    Cordon(node::CordonArgs),
    /// Let a node take pods again
    Uncordon(node::CordonArgs),
    /// Empty a node, to take it out of service
    Drain(drain::Args),
    /// Set or remove the taints of nodes
    Taint(node::TaintArgs),
    /// Say why a pod does not run
    Why(why::Args),
    /// Show resource use
    Top(top::Args),
    /// List the resources that the server has
    ApiResources(api_resources::Args),
    /// List the API versions that the server has
    ApiVersions(api_resources::VersionsArgs),
    /// Show or change the kubeconfig
    Config(config::Args),
    /// Who am I, and what may I do
    Auth(auth::Args),
    /// Look after the store: its members, their leader
    Store(store::Args),
    /// Show the versions of keelctl and the server
    Version(version::Args),
    /// Write a shell's completion script
    Completion(completion::Args),
}

impl Command {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Apply(args) => apply::run(global, args).await,
            Self::Create(args) => create::run(global, args).await,
            Self::Get(args) => get::run(global, args).await,
            Self::Describe(args) => describe::run(global, args).await,
            Self::Delete(args) => delete::run(global, args).await,
            Self::Logs(args) => logs::run(global, args).await,
            Self::Exec(args) => exec::run(global, args).await,
            Self::Attach(args) => attach::run(global, args).await,
            Self::Cp(args) => cp::run(global, args).await,
            Self::PortForward(args) => port_forward::run(global, args).await,
            Self::Scale(args) => scale::run(global, args).await,
            Self::Rollout(args) => rollout::run(global, args).await,
            Self::Label(args) => label::run(global, args, label::LABELS).await,
            Self::Annotate(args) => label::run(global, args, label::ANNOTATIONS).await,
            Self::Patch(args) => patch::run(global, args).await,
            Self::Edit(args) => edit::run(global, args).await,
            Self::Diff(args) => diff::run(global, args).await,
            Self::Explain(args) => explain::run(global, args).await,
            Self::Wait(args) => wait::run(global, args).await,
            Self::Events(args) => events::run(global, args).await,
            Self::Cordon(args) => node::cordon(global, args, true).await,
            Self::Uncordon(args) => node::cordon(global, args, false).await,
            Self::Drain(args) => drain::run(global, args).await,
            Self::Taint(args) => node::taint(global, args).await,
            Self::Why(args) => why::run(global, args).await,
            Self::Top(args) => top::run(global, args).await,
            Self::ApiResources(args) => api_resources::run(global, args).await,
            Self::ApiVersions(args) => api_resources::versions(global, args).await,
            Self::Config(args) => config::run(global, args),
            Self::Auth(args) => auth::run(global, args).await,
            Self::Store(args) => store::run(global, args).await,
            Self::Version(args) => version::run(global, args).await,
            Self::Completion(args) => completion::run(args),
        }
    }
}
