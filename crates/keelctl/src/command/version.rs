//! `keelctl version`

use serde_json::json;

use crate::cli::Global;
use crate::manifest::write::to_yaml;
use crate::output::to_json;
use crate::remote::Remote;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not ask the server
    #[arg(long)]
    pub client: bool,
    /// yaml or json
    #[arg(short = 'o', long, value_parser = ["yaml", "json"])]
    pub output: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = env!("CARGO_PKG_VERSION");
    let server = if args.client { None } else { Some(Remote::connect(global)?.version().await) };
    let (server, failed) = match server {
        None => (None, None),
        Some(Ok(version)) => (Some(version), None),
        Some(Err(problem)) => (None, Some(problem)),
    };
    if let Some(form) = &args.output {
        let mut value = json!({"clientVersion": {"keelsonVersion": client, "platform": platform()}});
        if let Some(server) = &server {
            value["serverVersion"] = json!({"gitVersion": server.git_version, "major": server.major, "minor": server.minor, "keelsonVersion": server.keelson_version, "platform": server.platform});
        }
        crate::terminal::print(&if form == "json" { to_json(&value) + "\n" } else { to_yaml(&value) })?;
    } else {
        crate::say!("Client Version: keelctl {client}");
        if let Some(server) = &server {
            crate::say!("Server Version: {} (keelson {})", server.git_version, server.keelson_version);
        }
    }
    failed.map_or(Ok(()), Err)
}

fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}
