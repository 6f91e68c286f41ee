//! `keelctl logs`: what the containers of one pod, or of several, wrote.

use std::io::Write as _;

use anyhow::{Context, bail};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use proto::keelson::api::v1::{LogsRequest, PodRef};
use serde_json::Value;
use tokio::sync::Mutex;

use super::target::{Which, find};
use crate::cli::Global;
use crate::remote::{Query, Remote};
use crate::resource::{Catalog, Resource};
use crate::{describe, duration};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A pod, or what has pods: p, deployment/hello
    pub resource: Option<String>,
    /// The container
    pub container_name: Option<String>,
    /// Follow
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// The run before this one
    #[arg(short = 'p', long)]
    pub previous: bool,
    /// The container
    #[arg(short = 'c', long, default_value = "", hide_default_value = true)]
    pub container: String,
    /// All containers of the pod
    #[arg(long)]
    pub all_containers: bool,
    /// All pods of a deployment, not only one
    #[arg(long)]
    pub all_pods: bool,
    /// The time before each line
    #[arg(long)]
    pub timestamps: bool,
    /// The pod and container before each line
    #[arg(long)]
    pub prefix: bool,
    /// Lines not older than this: 5s, 2m, 3h
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// Lines after this RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub since_time: Option<String>,
    /// The last so many lines; -1: all
    #[arg(long, allow_hyphen_values = true)]
    pub tail: Option<i64>,
    /// At most so many bytes
    #[arg(long)]
    pub limit_bytes: Option<i64>,
    /// The pods with these labels
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Follow at most so many containers at once
    #[arg(long, default_value_t = 5)]
    pub max_log_requests: usize,
    /// Go on when one container's logs cannot be read
    #[arg(long)]
    pub ignore_errors: bool,
}

/// Lines that a selector shows of each pod when nothing else is said.
const SELECTED_TAIL: i64 = 10;

/// One container's log.
struct Source {
    pod: Value,
    container: String,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if args.resource.is_some() == args.selector.is_some() {
        bail!(
            "expected one of a pod and a selector: keelctl logs POD, keelctl logs deployment/NAME, or keelctl logs -l app=x"
        );
    }
    if args.since.is_some() && args.since_time.is_some() {
        bail!("only one of --since-time / --since may be used");
    }
    let remote = Remote::connect(global)?;
    let catalog = remote.catalog().await?;
    let pods = pods(&remote, &catalog, global, &args).await?;
    let mut sources = Vec::new();
    for pod in pods {
        for container in containers(&pod, &args)? {
            sources.push(Source { pod: pod.clone(), container });
        }
    }
    if sources.is_empty() {
        crate::complain!("No resources found in {} namespace.", remote.namespace);
        return Ok(());
    }
    if args.follow && sources.len() > args.max_log_requests {
        bail!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
            sources.len(),
            args.max_log_requests
        );
    }
    // One log alone is shown as it comes, prompts too; several must not mix within a line.
    let alone = sources.len() == 1;
    let out = Mutex::new(());
    let one = |source: Source| {
        let (remote, args, out) = (&remote, &args, &out);
        async move {
            match stream(remote, args, &source, alone, out).await {
                Err(problem) if args.ignore_errors => {
                    crate::complain!("{}", crate::error::text(&problem));
                    Ok(())
                }
                done => done,
            }
        }
    };
    if args.follow {
        let all: FuturesUnordered<_> = sources.into_iter().map(one).collect();
        return all.try_collect::<Vec<()>>().await.map(drop);
    }
    for source in sources {
        one(source).await?;
    }
    Ok(())
}

/// The pods whose logs are asked for.
async fn pods(remote: &Remote, catalog: &Catalog, global: &Global, args: &Args) -> anyhow::Result<Vec<Value>> {
    let resource = catalog.of_kind("v1", "Pod")?;
    if let Some(selector) = &args.selector {
        let query = Query { labels: selector.clone(), fields: String::new() };
        return Ok(remote.list(resource, &remote.namespace, &query).await?.items);
    }
    let word = args.resource.clone().unwrap_or_default();
    pods_of(remote, catalog, global, resource, &word, args.all_pods).await
}

/// The pod of that name, or the pods of what has pods: newest running first.
pub async fn pods_of(
    remote: &Remote,
    catalog: &Catalog,
    global: &Global,
    pods: &Resource,
    word: &str,
    all: bool,
) -> anyhow::Result<Vec<Value>> {
    let words = if word.contains('/') { vec![word.to_owned()] } else { vec![format!("pods/{word}")] };
    let targets = find(remote, catalog, global, &Which { words: &words, ..Which::default() }).await?;
    let Some(target) = targets.into_iter().next() else { bail!("no object named {word}") };
    if target.resource.kind == "Pod" {
        return Ok(vec![target.object]);
    }
    let selector = match target.resource.kind.as_str() {
        "Service" | "ReplicationController" => api::print::join_map(target.object.pointer("/spec/selector")),
        _ => api::print::label_selector(target.object.pointer("/spec/selector")),
    };
    if selector == "<none>" {
        bail!("{} selects no pods", target.display());
    }
    let list = remote.list(pods, &target.namespace, &Query { labels: selector, fields: String::new() }).await?;
    let mut found = list.items;
    let rank = |pod: &Value| {
        let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
        let created = pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default().to_owned();
        (phase != "Running", !describe::is_ready(pod), std::cmp::Reverse(created))
    };
    found.sort_by_key(rank);
    if found.is_empty() {
        bail!("no pods of {} were found", target.display());
    }
    if !all {
        if found.len() > 1 {
            crate::complain!("Found {} pods, using pod/{}", found.len(), describe::name(&found[0]));
        }
        found.truncate(1);
    }
    Ok(found)
}

/// Names of all containers, init containers first.
pub fn container_names(pod: &Value) -> Vec<String> {
    let names = |field: &str| {
        let list = pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(|container| container.get("name")?.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    [names("initContainers"), names("containers"), names("ephemeralContainers")].concat()
}

/// The container that is meant when none is named; says so where there are several.
pub fn default_container(pod: &Value) -> anyhow::Result<String> {
    let main: Vec<&str> = pod
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("name")?.as_str())
        .collect();
    let noted = pod
        .pointer("/metadata/annotations")
        .and_then(|all| all.get("kubectl.kubernetes.io/default-container"))
        .and_then(Value::as_str);
    if let Some(noted) = noted.filter(|noted| main.contains(noted)) {
        return Ok(noted.to_owned());
    }
    let first = main.first().context("the pod has no containers")?;
    let all = container_names(pod);
    if all.len() > 1 {
        let with_kind: Vec<String> = main
            .iter()
            .map(|name| (*name).to_owned())
            .chain(all.iter().filter(|name| !main.contains(&name.as_str())).map(|name| format!("{name} (init)")))
            .collect();
        crate::complain!("Defaulted container \"{first}\" out of: {}", with_kind.join(", "));
    }
    Ok((*first).to_owned())
}

/// The named container, which must exist.
pub fn check_container(pod: &Value, name: &str) -> anyhow::Result<String> {
    let names = container_names(pod);
    if names.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    let near = crate::suggest::nearest(name, names.iter().map(String::as_str))
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    bail!("container {name} is not valid for pod {} out of: {}{near}", describe::name(pod), names.join(", "))
}

fn containers(pod: &Value, args: &Args) -> anyhow::Result<Vec<String>> {
    let named =
        if args.container.is_empty() { args.container_name.as_deref().unwrap_or_default() } else { &args.container };
    if args.all_containers {
        return Ok(container_names(pod));
    }
    if named.is_empty() { Ok(vec![default_container(pod)?]) } else { Ok(vec![check_container(pod, named)?]) }
}

pub fn pod_ref(pod: &Value) -> PodRef {
    let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    PodRef { namespace: text("/metadata/namespace"), name: text("/metadata/name"), uid: String::new() }
}

async fn stream(remote: &Remote, args: &Args, source: &Source, alone: bool, out: &Mutex<()>) -> anyhow::Result<()> {
    let since = args.since.as_deref().map(duration::parse).transpose().context("--since")?;
    let tail = args.tail.or_else(|| args.selector.is_some().then_some(SELECTED_TAIL)).filter(|tail| *tail >= 0);
    let request = LogsRequest {
        pod: Some(pod_ref(&source.pod)),
        container: source.container.clone(),
        follow: args.follow,
        previous: args.previous,
        since_seconds: since.map(|since| i64::try_from(since.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)),
        since_time: args.since_time.clone().unwrap_or_default(),
        timestamps: args.timestamps,
        tail_lines: tail,
        limit_bytes: args.limit_bytes,
    };
    let prefix = if args.prefix {
        format!("[pod/{}/{}] ", describe::name(&source.pod), source.container)
    } else {
        String::new()
    };
    let mut chunks = remote.streams().logs(request).await.map_err(|status| remote.failed(status))?.into_inner();
    let mut text = Lines { prefix, alone, rest: Vec::new(), within: false };
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|status| remote.failed(status))?;
        write(&text.add(&chunk.data), out).await?;
    }
    write(&text.end(), out).await
}

/// One log as it is shown: a prefix before each line.
struct Lines {
    prefix: String,
    /// Nothing else is shown beside it.
    alone: bool,
    /// A line whose end has not come.
    rest: Vec<u8>,
    /// The last line that was shown has no end yet.
    within: bool,
}

impl Lines {
    /// What of it can be shown now.
    fn add(&mut self, data: &[u8]) -> Vec<u8> {
        if self.alone {
            return self.prefixed(data);
        }
        self.rest.extend_from_slice(data);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        self.prefixed(&lines)
    }

    fn end(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        self.prefixed(&rest)
    }

    fn prefixed(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + self.prefix.len());
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            if !self.within {
                out.extend_from_slice(self.prefix.as_bytes());
            }
            out.extend_from_slice(line);
            self.within = !line.ends_with(b"\n");
        }
        out
    }
}

async fn write(text: &[u8], out: &Mutex<()>) -> anyhow::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let _turn = out.lock().await;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn shown(alone: bool, chunks: &[&str], want: &[&str]) {
        let mut lines = Lines { prefix: "> ".into(), alone, rest: Vec::new(), within: false };
        let mut found: Vec<_> = chunks.iter().map(|chunk| lines.add(chunk.as_bytes())).collect();
        found.push(lines.end());
        let found: Vec<_> = found.iter().map(|text| String::from_utf8_lossy(text)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_log_alone_shows_prompts_at_once_and_several_keep_lines_whole() {
        shown(true, &["na", "me? ", "x\ny"], &["> na", "me? ", "x\n> y", ""]);
        shown(false, &["na", "me? ", "x\ny"], &["", "", "> name? x\n", "> y"]);
    }

    #[test]
    fn a_wrong_container_is_told_the_right_ones() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        assert_eq!(
            check_container(&pod, "zz").unwrap_err().to_string(),
            "container zz is not valid for pod p out of: c"
        );
    }

    #[test]
    fn an_annotation_chooses_the_default_container() {
        let pod = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "b"}}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(default_container(&pod).unwrap(), "b");
    }
}
