//! Waits for hello's rollout and fetches its page each way a user would.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::http;
use testkit::keelctl::Keelctl;
use testkit::wait;

/// What every answer of hello contains.
const MARK: &str = "Hello from Keelson";
/// How long the rollout may take.
const ROLLOUT: Duration = Duration::from_secs(180);
/// How long rules and records may take to follow.
const FOLLOW: Duration = Duration::from_secs(30);

/// The page, and where it came from.
pub struct Page {
    /// How a user would ask for it.
    pub way: String,
    /// What came.
    pub text: String,
}

/// Waits until every replica of the new template is available; `say` is told each change.
pub fn await_rollout(keelctl: &Keelctl, say: &mut dyn FnMut(&str)) -> Result<()> {
    let mut last = String::new();
    wait::until("the rollout of deployment hello", ROLLOUT, || {
        let deployment = keelctl.json(&["get", "deployment", "hello"])?;
        let progress = Rollout::of(&deployment);
        let text = progress.to_string();
        if text != last {
            say(&text);
            last = text;
        }
        ensure!(progress.is_complete(), "{progress}");
        Ok(Some(()))
    })
    .with_context(|| explain(keelctl))
}

/// What a user would look at next: the pods and why they wait.
fn explain(keelctl: &Keelctl) -> String {
    let look = |args: &[&str]| keelctl.run(args).unwrap_or_else(|error| format!("{error:#}"));
    format!(
        "{}\n{}",
        look(&["get", "pods", "-A", "-o", "wide"]),
        look(&["get", "events", "--field-selector", "type=Warning"])
    )
}

/// How far a Deployment's rollout is.
struct Rollout {
    observed: bool,
    wanted: i64,
    updated: i64,
    available: i64,
    total: i64,
}

impl Rollout {
    fn of(deployment: &Value) -> Self {
        let number = |path: &str| deployment.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        Self {
            observed: number("/status/observedGeneration") >= number("/metadata/generation"),
            wanted: number("/spec/replicas"),
            updated: number("/status/updatedReplicas"),
            available: number("/status/availableReplicas"),
            total: number("/status/replicas"),
        }
    }

    fn is_complete(&self) -> bool {
        self.observed && self.updated == self.wanted && self.available == self.wanted && self.total == self.wanted
    }
}

impl std::fmt::Display for Rollout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} pods updated, {} available", self.updated, self.wanted, self.available)
    }
}

/// Fetches the page through the ClusterIP, the DNS name (inside a pod) and the NodePort.
pub fn pages(cluster: &Cluster, say: &mut dyn FnMut(&str)) -> Result<Vec<Page>> {
    let keelctl = cluster.keelctl();
    let node = cluster.settings.first_node();
    let network = node.network.as_deref();
    let service = keelctl.json(&["get", "service", "hello"])?;
    let cluster_ip: IpAddr = text(&service, "/spec/clusterIP")?.parse().context("the ClusterIP")?;
    let port = number(&service, "/spec/ports/0/port")?;
    let node_port = number(&service, "/spec/ports/0/nodePort")?;

    let mut pages = Vec::new();
    for (name, server) in
        [("ClusterIP", SocketAddr::new(cluster_ip, port)), ("NodePort", SocketAddr::new(node.address, node_port))]
    {
        say(&format!("{name}, http://{server}/"));
        let text = wait::until(&format!("the page through the {name}"), FOLLOW, || {
            let answer = http::get(network, server, "/")?;
            ensure!(answer.status == 200 && answer.body.contains(MARK), "another page came: {answer:?}");
            Ok(Some(answer.body))
        })?;
        pages.push(Page { way: format!("{name}, http://{server}/"), text });
    }
    say("DNS name, inside a pod");
    pages.insert(1, by_name(&keelctl, port)?);
    Ok(pages)
}

fn by_name(keelctl: &Keelctl, port: u16) -> Result<Page> {
    let pods = keelctl.json(&["get", "pods", "-l", "app=hello"])?;
    let pod = text(&pods, "/items/0/metadata/name")?.to_owned();
    let url = format!("http://hello.default.svc.cluster.local:{port}/");
    // Not wget -T: the applet of Debian 12 crashes on it.
    let text = wait::until("the page by its DNS name", FOLLOW, || {
        let text = keelctl.run(&["exec", &pod, "--", "timeout", "5", "wget", "-q", "-O", "-", &url])?;
        ensure!(text.contains(MARK), "another page came: {text:?}");
        Ok(Some(text))
    })?;
    Ok(Page { way: format!("DNS name, {url} from inside pod {pod}"), text })
}

fn text<'a>(object: &'a Value, path: &str) -> Result<&'a str> {
    object.pointer(path).and_then(Value::as_str).with_context(|| format!("{path} is missing in {object}"))
}

fn number(object: &Value, path: &str) -> Result<u16> {
    let number =
        object.pointer(path).and_then(Value::as_u64).with_context(|| format!("{path} is missing in {object}"))?;
    Ok(u16::try_from(number)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_complete_when_only_new_pods_are_left_and_available() {
        let deployment = |total: i64| {
            serde_json::json!({
                "metadata": {"generation": 2},
                "spec": {"replicas": 3},
                "status": {"observedGeneration": 2, "updatedReplicas": 3, "availableReplicas": 3, "replicas": total},
            })
        };
        assert!(Rollout::of(&deployment(3)).is_complete());
        assert!(!Rollout::of(&deployment(4)).is_complete());
    }
}
