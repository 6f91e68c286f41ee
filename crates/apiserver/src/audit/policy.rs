//! What the audit policy says of a request: `audit.k8s.io/v1` Policy, as upstream reads it. The first rule that matches decides.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::authenticate::User;
use crate::authorize::Attributes;

/// How much is told of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    #[default]
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// A policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_yaml::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    paths: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What is told of a request.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Policy {
    /// Reads a policy file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("--audit-policy-file: cannot read {shown}"))?;
        Self::parse(&text).with_context(|| format!("--audit-policy-file: {shown} is no audit policy"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let policy: Self = serde_yaml::from_str(text)?;
        let (version, kind) = (policy.api_version.as_str(), policy.kind.as_str());
        anyhow::ensure!(
            (version, kind) == ("audit.k8s.io/v1", "Policy"),
            "it is a {kind} of {version}; write `apiVersion: audit.k8s.io/v1` and `kind: Policy`"
        );
        anyhow::ensure!(!policy.rules.is_empty(), "it has no rules; without one nothing is logged");
        Ok(policy)
    }

    /// What it says of a request.
    pub fn of(&self, user: &User, asked: &Attributes<'_>) -> Told {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(user, asked)) else { return Told::default() };
        let omit_stages = self.omit_stages.iter().chain(&rule.omit_stages).copied().collect();
        let omit_managed_fields = rule.omit_managed_fields.unwrap_or(self.omit_managed_fields);
        Told { level: rule.level, omit_stages, omit_managed_fields }
    }
}

impl Rule {
    fn matches(&self, user: &User, asked: &Attributes<'_>) -> bool {
        let any = |list: &[String], wanted: &str| list.is_empty() || list.iter().any(|item| item == wanted);
        if !any(&self.users, &user.name)
            || !any(&self.verbs, asked.verb)
            || !(self.user_groups.is_empty() || self.user_groups.iter().any(|group| user.is_in(group)))
        {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return asked.path.is_empty()
                && any(&self.namespaces, asked.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.matches(asked)));
        }
        self.paths.is_empty() || (!asked.path.is_empty() && self.paths.iter().any(|path| is_path(path, asked.path)))
    }
}

impl Resources {
    fn matches(&self, asked: &Attributes<'_>) -> bool {
        if self.group != asked.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let named = self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == asked.name);
        named && self.resources.iter().any(|resource| is_resource(resource, asked))
    }
}

/// `*`, `pods`, `pods/log`, `pods/*`, `*/scale`.
fn is_resource(named: &str, asked: &Attributes<'_>) -> bool {
    match named.split_once('/') {
        None => named == "*" || (asked.subresource.is_empty() && named == asked.resource),
        Some(("*", subresource)) => !asked.subresource.is_empty() && subresource == asked.subresource,
        Some((resource, "*")) => resource == asked.resource,
        Some((resource, subresource)) => (resource, subresource) == (asked.resource, asked.subresource),
    }
}

fn is_path(named: &str, path: &str) -> bool {
    named.strip_suffix('*').map_or(named == path, |begin| path.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: [watch]
  resources: [{group: "", resources: [endpoints, services]}]
- level: None
  nonResourceURLs: ["/healthz*", /version]
- level: Metadata
  resources: [{group: "", resources: [secrets, "pods/*", "*/status"]}]
- level: RequestResponse
  namespaces: [audited]
  omitStages: [ResponseStarted]
- level: Request
  userGroups: [devs]
"#;

    #[track_caller]
    fn check(asked: Attributes<'_>, name: &str, group: &str, expect: Level) {
        let user = User { name: name.into(), groups: vec![group.into()], ..User::default() };
        let policy = Policy::parse(POLICY).expect("a policy");
        assert_eq!(policy.of(&user, &asked).level, expect, "{asked:?}");
    }

    #[test]
    fn the_first_rule_decides() {
        let about = |resource, subresource| Attributes { verb: "get", resource, subresource, ..Default::default() };
        let watch = Attributes { verb: "watch", resource: "services", ..Default::default() };
        check(watch, "system:kube-proxy", "g", Level::None);
        check(watch, "other", "devs", Level::Request);
        check(watch, "other", "g", Level::None);
        check(Attributes { verb: "get", path: "/healthz/etcd", ..Default::default() }, "u", "devs", Level::None);
        check(Attributes { verb: "get", path: "/metrics", ..Default::default() }, "u", "devs", Level::Request);
        check(about("secrets", ""), "u", "g", Level::Metadata);
        check(about("pods", "log"), "u", "g", Level::Metadata);
        check(about("nodes", "status"), "u", "g", Level::Metadata);
        check(about("secrets", "other"), "u", "g", Level::None);
        check(Attributes { namespace: "audited", ..about("configmaps", "") }, "u", "g", Level::RequestResponse);
    }

    #[test]
    fn stages_of_both_places_are_omitted() {
        let policy = Policy::parse(POLICY).expect("a policy");
        let asked = Attributes { verb: "get", namespace: "audited", resource: "configmaps", ..Default::default() };
        let told = policy.of(&User::default(), &asked);
        assert_eq!(told.omit_stages, [Stage::RequestReceived, Stage::ResponseStarted]);
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_mend() {
        for (text, expect) in [
            ("apiVersion: v1\nkind: Policy\nrules: [{level: None}]", "write `apiVersion: audit.k8s.io/v1`"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy", "no rules"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]", "All"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{levels: None}]", "levels"),
        ] {
            let error = format!("{:#}", Policy::parse(text).expect_err(text));
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
