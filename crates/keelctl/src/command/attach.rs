//! `keelctl attach`: the input and output of a container's own process.

use super::exec::Session;
use crate::cli::Global;
use crate::remote::Remote;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pod, or what has pods: p, deployment/hello
    pub pod: String,
    /// The container
    #[arg(short = 'c', long, default_value = "", hide_default_value = true)]
    pub container: String,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// A terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Print only what the container prints
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let session = Session::prepare(&remote, global, &args.pod, &args.container, args.stdin, args.tty).await?;
    if !args.quiet && session.start.tty && session.start.stdin {
        crate::complain!(
            "All commands and output from this session will be recorded in container logs, including credentials and sensitive information passed through the command prompt."
        );
        crate::complain!("If you don't see a command prompt, try pressing enter.");
    }
    session.run(&remote, Vec::new(), false).await.map(drop)
}
