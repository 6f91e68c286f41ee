//! `keelctl create`: objects from manifests, or of a common kind by name and flags.

use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::target::{namespace_of, resource_of};
use super::{DryRun, Files, apply};
use crate::cli::Global;
use crate::merge;
use crate::output::{Format, hide_managed_fields};
use crate::remote::{Remote, Write};
use crate::resource::{Catalog, Resource};
use crate::{duration, error};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub what: Option<What>,
}

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Common {
    /// What to print: yaml, json, name, ...
    #[arg(short = 'o', long, global = true)]
    pub output: Option<String>,
    /// Go how far: none, client or server
    #[arg(long, global = true, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
    /// Remember the manifest, so that apply can take over
    #[arg(long, global = true)]
    pub save_config: bool,
    /// Judge unknown fields: strict, warn, ignore
    #[arg(long, global = true, default_value = "strict", num_args = 0..=1, default_missing_value = "strict")]
    pub validate: String,
}

#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// A namespace
    #[command(visible_alias = "ns")]
    Namespace { name: String },
    /// A config map from literals and files
    #[command(visible_alias = "cm")]
    Configmap(DataArgs),
    /// A secret
    Secret(SecretArgs),
    /// A deployment
    #[command(visible_alias = "deploy")]
    Deployment(DeploymentArgs),
    /// A service account
    #[command(visible_alias = "sa")]
    Serviceaccount { name: String },
    /// A token of a service account
    Token(TokenArgs),
}

#[derive(Debug, Clone, clap::Args)]
pub struct DataArgs {
    pub name: String,
    /// KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// A file or directory: [KEY=]PATH
    #[arg(long, value_name = "[KEY=]PATH")]
    pub from_file: Vec<String>,
    /// A file of KEY=VALUE lines
    #[arg(long, value_name = "PATH")]
    pub from_env_file: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct SecretArgs {
    #[command(subcommand)]
    pub kind: SecretKind,
}

#[derive(Debug, clap::Subcommand)]
pub enum SecretKind {
    /// From literals and files
    Generic {
        #[command(flatten)]
        data: DataArgs,
        /// Its type
        #[arg(long, default_value = "Opaque")]
        r#type: String,
    },
    /// Credentials of an image registry
    DockerRegistry {
        name: String,
        #[arg(long, default_value = "https://index.docker.io/v1/")]
        docker_server: String,
        #[arg(long)]
        docker_username: String,
        #[arg(long)]
        docker_password: String,
        #[arg(long, default_value = "", hide_default_value = true)]
        docker_email: String,
    },
    /// A certificate and its key
    Tls {
        name: String,
        #[arg(long, value_name = "FILE")]
        cert: String,
        #[arg(long, value_name = "FILE")]
        key: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct DeploymentArgs {
    pub name: String,
    /// Its images, one container each
    #[arg(long, required = true, value_delimiter = ',')]
    pub image: Vec<String>,
    /// How many pods
    #[arg(short = 'r', long, default_value_t = 1)]
    pub replicas: i32,
    /// The port that the container serves
    #[arg(long)]
    pub port: Option<i32>,
    /// The command, after --
    #[arg(last = true)]
    pub command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The service account
    pub name: String,
    /// For whom the token is good
    #[arg(long)]
    pub audience: Vec<String>,
    /// How long it is good: 10m, 24h
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let object = match args.what {
        None => return from_files(global, &args.files, &args.common).await,
        Some(What::Token(token)) => return create_token(global, token).await,
        Some(What::Namespace { name }) => json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        Some(What::Serviceaccount { name }) => {
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        }
        Some(What::Configmap(data)) => config_map(&data)?,
        Some(What::Secret(args)) => secret(args.kind)?,
        Some(What::Deployment(args)) => deployment(&args)?,
    };
    let format = Format::parse(args.common.output.as_deref())?;
    if args.common.dry_run == DryRun::Client {
        return show(object, &offline(), &args.common, &format);
    }
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let (resource, made) = create(&remote, &catalog, global, object, &args.common).await?;
    show(made, &resource, &args.common, &format)
}

/// A resource for a message when the server is not asked.
fn offline() -> Resource {
    Resource::default()
}

async fn from_files(global: &Global, files: &Files, common: &Common) -> anyhow::Result<()> {
    if files.filenames.is_empty() {
        bail!("must specify one of -f and a kind: keelctl create -f FILE, or keelctl create namespace NAME");
    }
    let format = Format::parse(common.output.as_deref())?;
    let documents = files.read()?;
    if documents.is_empty() {
        bail!("no objects passed to create");
    }
    apply::judge(&documents, &common.validate)?;
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let mut failed = Vec::new();
    for document in &documents {
        resource_of(&catalog, document)?;
    }
    for document in documents {
        let place = format!("when creating {}:{}", document.file, document.node.mark.line);
        match create(&remote, &catalog, global, document.value, common).await {
            Ok((resource, made)) => show(made, &resource, common, &format)?,
            Err(problem) => failed.push(problem.context(place)),
        }
    }
    let Some(last) = failed.pop() else { return Ok(()) };
    failed.iter().for_each(|problem| crate::complain!("{}", error::text(problem)));
    Err(last)
}

async fn create(
    remote: &Remote,
    catalog: &Catalog,
    global: &Global,
    mut object: Value,
    common: &Common,
) -> anyhow::Result<(Resource, Value)> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resource = catalog.of_kind(&text("apiVersion"), &text("kind"))?.clone();
    let namespace = namespace_of(&object, &resource, global, &remote.namespace)?;
    if resource.namespaced {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if common.save_config {
        object = merge::with_last_applied(&object);
    }
    if common.dry_run == DryRun::Client {
        return Ok((resource, object));
    }
    let write = Write {
        dry_run: common.dry_run == DryRun::Server,
        field_manager: "kubectl-create".to_owned(),
        ..Write::default()
    };
    let made = remote.create(&resource, &namespace, &object, &write).await?;
    Ok((resource, made))
}

fn show(mut object: Value, resource: &Resource, common: &Common, format: &Format) -> anyhow::Result<()> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let group = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .and_then(|version| version.split_once('/'))
        .map(|pair| format!(".{}", pair.0));
    let display = if resource.kind.is_empty() {
        format!("{kind}{}/{name}", group.unwrap_or_default())
    } else {
        resource.display(&name)
    };
    if common.output.is_none() {
        crate::say!("{display} created{}", common.dry_run.suffix());
        return Ok(());
    }
    hide_managed_fields(&mut object);
    let text = format.object(&object)?.unwrap_or_else(|| format!("{display}\n"));
    Ok(crate::terminal::print(&text)?)
}

/// Keys and bytes from literals, files, directories and environment files.
fn gather(args: &DataArgs) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for literal in &args.from_literal {
        let (key, value) =
            literal.split_once('=').with_context(|| format!("invalid literal source {literal}, expected key=value"))?;
        found.push((key.to_owned(), value.trim_matches(['"', '\'']).as_bytes().to_vec()));
    }
    for source in &args.from_file {
        let (key, path) = match source.split_once('=') {
            Some((key, path)) => (Some(key.to_owned()), Path::new(path)),
            None => (None, Path::new(source.as_str())),
        };
        if path.is_dir() {
            if key.is_some() {
                bail!("cannot give a key name for a directory path: {source}");
            }
            let mut files: Vec<_> =
                std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
            files.sort();
            for file in files.into_iter().filter(|file| file.is_file()) {
                found.push((file_name(&file), std::fs::read(&file)?));
            }
            continue;
        }
        let bytes = std::fs::read(path).with_context(|| format!("error reading {}", path.display()))?;
        found.push((key.unwrap_or_else(|| file_name(path)), bytes));
    }
    for path in &args.from_env_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("error reading {path}"))?;
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = match line.split_once('=') {
                Some((key, value)) => (key.to_owned(), value.to_owned()),
                None => (line.to_owned(), std::env::var(line).unwrap_or_default()),
            };
            found.push((key, value.into_bytes()));
        }
    }
    for (index, (key, _)) in found.iter().enumerate() {
        if found[..index].iter().any(|(known, _)| known == key) {
            bail!("cannot add key \"{key}\", another key by that name already exists");
        }
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            bail!("\"{key}\" is not a valid key name: it must consist of letters, digits, '-', '_' or '.'");
        }
    }
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn config_map(args: &DataArgs) -> anyhow::Result<Value> {
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (key, bytes) in gather(args)? {
        match String::from_utf8(bytes) {
            Ok(text) => data.insert(key, json!(text)),
            Err(other) => binary.insert(key, json!(STANDARD.encode(other.into_bytes()))),
        };
    }
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": args.name}});
    if !data.is_empty() {
        object["data"] = Value::Object(data);
    }
    if !binary.is_empty() {
        object["binaryData"] = Value::Object(binary);
    }
    Ok(object)
}

fn secret(kind: SecretKind) -> anyhow::Result<Value> {
    let (name, kind, data) = match kind {
        SecretKind::Generic { data, r#type } => (data.name.clone(), r#type, gather(&data)?),
        SecretKind::Tls { name, cert, key } => {
            let read = |path: &str| std::fs::read(path).with_context(|| format!("error reading {path}"));
            (
                name,
                "kubernetes.io/tls".to_owned(),
                vec![("tls.crt".to_owned(), read(&cert)?), ("tls.key".to_owned(), read(&key)?)],
            )
        }
        SecretKind::DockerRegistry { name, docker_server, docker_username, docker_password, docker_email } => {
            let auth = STANDARD.encode(format!("{docker_username}:{docker_password}"));
            let mut entry = json!({"username": docker_username, "password": docker_password, "auth": auth});
            if !docker_email.is_empty() {
                entry["email"] = json!(docker_email);
            }
            let config = json!({"auths": {docker_server: entry}});
            (
                name,
                "kubernetes.io/dockerconfigjson".to_owned(),
                vec![(".dockerconfigjson".to_owned(), config.to_string().into_bytes())],
            )
        }
    };
    let data: Map<String, Value> = data.into_iter().map(|(key, bytes)| (key, json!(STANDARD.encode(bytes)))).collect();
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind});
    if !data.is_empty() {
        object["data"] = Value::Object(data);
    }
    Ok(object)
}

fn deployment(args: &DeploymentArgs) -> anyhow::Result<Value> {
    if args.image.len() > 1 && !args.command.is_empty() {
        bail!("cannot specify multiple --image options and command");
    }
    let container = |image: &String| {
        let last = image.rsplit('/').next().unwrap_or(image);
        let name: String = last.split([':', '@']).next().unwrap_or(last).replace(['_', '.'], "-");
        let mut container = json!({"name": name, "image": image});
        if let Some(port) = args.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        if !args.command.is_empty() {
            container["command"] = json!(args.command);
        }
        container
    };
    let containers: Vec<Value> = args.image.iter().map(container).collect();
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": args.name, "labels": {"app": args.name}},
        "spec": {
            "replicas": args.replicas,
            "selector": {"matchLabels": {"app": args.name}},
            "template": {"metadata": {"labels": {"app": args.name}}, "spec": {"containers": containers}},
        },
    }))
}

async fn create_token(global: &Global, args: TokenArgs) -> anyhow::Result<()> {
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let accounts = catalog.of_kind("v1", "ServiceAccount")?;
    let seconds = args.duration.as_deref().map(duration::parse).transpose()?.map(|time| time.as_secs());
    let mut spec = json!({"audiences": args.audience});
    if let Some(seconds) = seconds {
        spec["expirationSeconds"] = json!(seconds);
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let namespace = remote.namespace.clone();
    let made =
        remote.create_subresource(accounts, &namespace, &args.name, "token", &request, &Write::default()).await?;
    let token = made.pointer("/status/token").and_then(Value::as_str).context("the server's answer holds no token")?;
    crate::say!("{token}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_maps_take_literals_files_and_directories() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "one").unwrap();
        std::fs::write(dir.path().join("b.bin"), [0xff, 0]).unwrap();
        let path = dir.path().display().to_string();
        let args = DataArgs {
            name: "x".into(),
            from_literal: vec!["k=v=w".into()],
            from_file: vec![path.clone(), format!("c={path}/a.txt")],
            from_env_file: vec![],
        };
        let made = config_map(&args).unwrap();
        assert_eq!(made["data"], json!({"k": "v=w", "a.txt": "one", "c": "one"}));
        assert_eq!(made["binaryData"], json!({"b.bin": "/wA="}));
        let twice = DataArgs { from_literal: vec!["a=1".into(), "a=2".into()], from_file: vec![], ..args };
        assert!(config_map(&twice).is_err());
    }

    #[test]
    fn a_deployment_names_its_container_after_the_image() {
        let args = DeploymentArgs {
            name: "web".into(),
            image: vec!["registry.example/a/my_app:v1".into()],
            replicas: 2,
            port: Some(80),
            command: vec![],
        };
        let made = deployment(&args).unwrap();
        assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["name"], "my-app");
    }
}
