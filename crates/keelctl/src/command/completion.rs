//! `keelctl completion`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// bash, zsh, fish
    pub shell: Shell,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keelctl", &mut script);
    Ok(crate::terminal::print(&String::from_utf8_lossy(&script))?)
}
