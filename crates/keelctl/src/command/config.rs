//! `keelctl config`: the kubeconfig.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cli::Global;
use crate::kubeconfig::{self, Kubeconfig};
use crate::manifest::write::to_yaml;
use crate::output::{tabs, to_json};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// The merged kubeconfig, secrets hidden
    View {
        /// Show secrets too
        #[arg(long)]
        raw: bool,
        /// Only what the current context uses
        #[arg(long)]
        minify: bool,
        /// Files as data
        #[arg(long)]
        flatten: bool,
        /// yaml or json
        #[arg(short = 'o', long, default_value = "yaml", value_parser = ["yaml", "json"])]
        output: String,
    },
    /// The contexts
    GetContexts {
        /// Only this one
        name: Option<String>,
        /// -o name prints names only
        #[arg(short = 'o', long, value_parser = ["name"])]
        output: Option<String>,
        /// No headings
        #[arg(long)]
        no_headers: bool,
    },
    /// The context in use
    CurrentContext,
    /// Use a context from now on
    #[command(visible_alias = "use")]
    UseContext { name: String },
    /// Set fields of a context
    SetContext {
        /// The context's name
        name: Option<String>,
        /// The current context
        #[arg(long)]
        current: bool,
    },
}

pub fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::View { raw, minify, flatten, output } => view(global, raw, minify, flatten, &output),
        Action::GetContexts { name, output, no_headers } => {
            contexts(global, name.as_deref(), output.is_some(), no_headers)
        }
        Action::CurrentContext => {
            let config = kubeconfig::load(global)?;
            if config.current_context.is_empty() {
                bail!("current-context is not set");
            }
            crate::say!("{}", config.current_context);
            Ok(())
        }
        Action::UseContext { name } => {
            let config = kubeconfig::load(global)?;
            kubeconfig::context(&config, &Global { context: Some(name.clone()), ..global.clone() })?;
            let holds = |config: &Kubeconfig| !config.current_context.is_empty();
            change(global, holds, |config| config.current_context.clone_from(&name))?;
            crate::say!("Switched to context \"{name}\".");
            Ok(())
        }
        Action::SetContext { name, current } => set_context(global, name, current),
    }
}

/// Changes the first file that holds what is changed, else the first one.
fn change(
    global: &Global,
    holds: impl Fn(&Kubeconfig) -> bool,
    change: impl FnOnce(&mut Kubeconfig),
) -> anyhow::Result<()> {
    let paths = kubeconfig::paths(global);
    let read =
        |path: &PathBuf| -> anyhow::Result<Kubeconfig> { Ok(serde_yaml::from_str(&std::fs::read_to_string(path)?)?) };
    let found = paths.iter().find(|path| read(path).is_ok_and(|config| holds(&config)));
    let path =
        found.or(paths.iter().find(|path| path.exists())).or(paths.first()).context("no kubeconfig file is named")?;
    let mut config = if path.exists() {
        read(path).with_context(|| format!("reading {}", path.display()))?
    } else {
        Kubeconfig::default()
    };
    change(&mut config);
    kubeconfig::write(path, &config)
}

fn set_context(global: &Global, name: Option<String>, current: bool) -> anyhow::Result<()> {
    let config = kubeconfig::load(global)?;
    let name = match (name, current) {
        (Some(name), false) => name,
        (None, true) if !config.current_context.is_empty() => config.current_context.clone(),
        (None, true) => bail!("no current context is set"),
        _ => bail!("you must specify a non-empty context name or --current"),
    };
    let known = config.contexts.iter().any(|context| context.name == name);
    let holds = |config: &Kubeconfig| config.contexts.iter().any(|context| context.name == name);
    change(global, holds, |config| {
        if !config.contexts.iter().any(|context| context.name == name) {
            config.contexts.push(kubeconfig::NamedContext { name: name.clone(), ..Default::default() });
        }
        let Some(context) = config.contexts.iter_mut().find(|context| context.name == name) else { return };
        let set = |field: &mut String, flag: &Option<String>| {
            if let Some(value) = flag {
                field.clone_from(value);
            }
        };
        set(&mut context.context.namespace, &global.namespace);
        set(&mut context.context.cluster, &global.cluster);
        set(&mut context.context.user, &global.user);
    })?;
    crate::say!("Context \"{name}\" {}.", if known { "modified" } else { "created" });
    Ok(())
}

fn view(global: &Global, raw: bool, minify: bool, flatten: bool, output: &str) -> anyhow::Result<()> {
    let mut config = kubeconfig::load(global)?;
    if minify {
        let context = kubeconfig::context(&config, global)?.context("cannot minify: no context is set")?.clone();
        let name = global.context.clone().unwrap_or(config.current_context.clone());
        config.contexts.retain(|found| found.name == name);
        config.clusters.retain(|found| found.name == context.cluster);
        config.users.retain(|found| found.name == context.user);
    }
    if flatten {
        inline(&mut config)?;
    }
    let mut value = serde_json::to_value(&config)?;
    value["preferences"] = serde_json::json!({});
    if !raw {
        hide(&mut value);
    }
    Ok(crate::terminal::print(&if output == "json" { to_json(&value) + "\n" } else { to_yaml(&value) })?)
}

/// Files become data.
fn inline(config: &mut Kubeconfig) -> anyhow::Result<()> {
    use base64::Engine;
    let data = |path: &mut String, data: &mut String| -> anyhow::Result<()> {
        if !path.is_empty() && data.is_empty() {
            *data = base64::engine::general_purpose::STANDARD
                .encode(std::fs::read(&*path).with_context(|| format!("reading {path}"))?);
        }
        path.clear();
        Ok(())
    };
    for cluster in &mut config.clusters {
        data(&mut cluster.cluster.certificate_authority, &mut cluster.cluster.certificate_authority_data)?;
    }
    for user in &mut config.users {
        data(&mut user.user.client_certificate, &mut user.user.client_certificate_data)?;
        data(&mut user.user.client_key, &mut user.user.client_key_data)?;
    }
    Ok(())
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match key.as_str() {
                    "certificate-authority-data" | "client-certificate-data" | "client-key-data" => {
                        *value = Value::from("DATA+OMITTED")
                    }
                    "token" | "password" => *value = Value::from("REDACTED"),
                    _ => hide(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

fn contexts(global: &Global, name: Option<&str>, names_only: bool, no_headers: bool) -> anyhow::Result<()> {
    let config = kubeconfig::load(global)?;
    let mut contexts: Vec<_> =
        config.contexts.iter().filter(|context| name.is_none_or(|name| context.name == name)).collect();
    if let Some(name) = name.filter(|_| contexts.is_empty()) {
        bail!("context {name} not found");
    }
    contexts.sort_by_key(|context| context.name.clone());
    if names_only {
        contexts.iter().for_each(|context| crate::say!("{}", context.name));
        return Ok(());
    }
    let mut text = if no_headers { String::new() } else { "CURRENT\tNAME\tCLUSTER\tAUTHINFO\tNAMESPACE\n".to_owned() };
    for found in contexts {
        let mark = if found.name == config.current_context { "*" } else { "" };
        text.push_str(&format!(
            "{mark}\t{}\t{}\t{}\t{}\n",
            found.name, found.context.cluster, found.context.user, found.context.namespace
        ));
    }
    Ok(crate::terminal::print(&tabs::table(&text))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_hides_secrets() {
        let mut value = serde_json::json!({"users": [{"user": {"token": "t", "client-key-data": "k"}}]});
        hide(&mut value);
        assert_eq!(value.to_string(), r#"{"users":[{"user":{"client-key-data":"DATA+OMITTED","token":"REDACTED"}}]}"#);
    }

    #[test]
    fn a_context_is_switched_in_the_file_that_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, "current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n- {name: b, context: {cluster: c, user: u}}\n").unwrap();
        let global = Global { kubeconfig: Some(path.display().to_string()), ..Global::default() };
        run(&global, Args { action: Action::UseContext { name: "b".into() } }).unwrap();
        assert_eq!(kubeconfig::load(&global).unwrap().current_context, "b");
        assert!(run(&global, Args { action: Action::UseContext { name: "nope".into() } }).is_err());
        let flagged = Global { namespace: Some("x".into()), ..global.clone() };
        run(&flagged, Args { action: Action::SetContext { name: None, current: true } }).unwrap();
        assert_eq!(kubeconfig::load(&global).unwrap().contexts[1].context.namespace, "x");
    }
}
