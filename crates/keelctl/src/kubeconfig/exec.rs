//! Credentials from a program that the kubeconfig names (`exec`), as client.authentication.k8s.io has it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use client::config::{Credentials, Data};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The versions that are spoken.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// The program and how to call it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plugin {
    pub api_version: String,
    pub command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<Variable>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub install_hint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interactive_mode: String,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_yaml::Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    api_version: String,
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    token: String,
    client_certificate_data: String,
    client_key_data: String,
}

impl Plugin {
    /// A command with a slash is relative to its kubeconfig; one without is looked for in PATH.
    pub fn within(&mut self, base: &Path) {
        if self.command.contains('/') {
            self.command = base.join(&self.command).display().to_string();
        }
    }

    /// Runs the program: a client certificate, a token, or both.
    pub fn run(&self, server: &str) -> anyhow::Result<(Credentials, Option<String>)> {
        if !VERSIONS.contains(&self.api_version.as_str()) {
            bail!("exec.apiVersion \"{}\" is not known, expected {}", self.api_version, VERSIONS.join(" or "));
        }
        let terminal = std::io::stdin().is_terminal();
        if self.interactive_mode == "Always" && !terminal {
            bail!("{} wants a terminal (interactiveMode Always), and standard input is none", self.command);
        }
        let interactive = terminal && self.interactive_mode != "Never";
        let mut spec = json!({"interactive": interactive});
        if self.rest.get("provideClusterInfo").and_then(serde_yaml::Value::as_bool) == Some(true) {
            spec["cluster"] = json!({"server": server});
        }
        let info = json!({"kind": "ExecCredential", "apiVersion": self.api_version, "spec": spec});
        let variables = self.env.iter().flatten().map(|variable| (&variable.name, &variable.value));
        let done = Command::new(&self.command)
            .args(self.args.iter().flatten())
            .envs(variables)
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("running {}{}", self.command, self.hint()))?;
        if !done.status.success() {
            bail!("{} ended with {}{}", self.command, done.status, self.hint());
        }
        self.read(&done.stdout)
    }

    fn hint(&self) -> String {
        if self.install_hint.is_empty() { String::new() } else { format!(" ({})", self.install_hint.trim()) }
    }

    /// Reads what the program printed.
    pub(crate) fn read(&self, bytes: &[u8]) -> anyhow::Result<(Credentials, Option<String>)> {
        let value: Value = serde_json::from_slice(bytes)
            .with_context(|| format!("{} printed no ExecCredential in JSON", self.command))?;
        let answer: Answer = serde_json::from_value(value)
            .with_context(|| format!("{} printed an ExecCredential that cannot be read", self.command))?;
        if answer.api_version != self.api_version {
            bail!(
                "{} answered with apiVersion \"{}\", the kubeconfig says {}",
                self.command,
                answer.api_version,
                self.api_version
            );
        }
        let status = answer.status.unwrap_or_default();
        let inline = |text: &str| Data::Inline(text.as_bytes().to_vec());
        let certificate = match (status.client_certificate_data.as_str(), status.client_key_data.as_str()) {
            ("", "") => Credentials::Anonymous,
            (_, "") | ("", _) => {
                bail!("{} gave only one of client certificate and client key; both are needed", self.command)
            }
            (cert, key) => Credentials::Certificate { cert: inline(cert), key: inline(key) },
        };
        let token = Some(status.token).filter(|token| !token.is_empty());
        if token.is_none() && certificate == Credentials::Anonymous {
            bail!("{} gave neither a token nor a client certificate", self.command);
        }
        Ok((certificate, token))
    }
}
