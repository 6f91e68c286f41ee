//! A webhook as a configuration describes it: one form for those that judge and those that change.

use std::time::Duration;

use proto::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use proto::meta::v1::LabelSelector;

use super::conditions::Conditions;
use super::review::Version;
use super::select::Selectors;
use crate::webhook::{ServiceName, Webhook};

/// What a webhook without a timeout is given, as upstream's default.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// One webhook.
#[derive(Debug)]
pub struct Hook {
    /// Its own name.
    pub name: String,
    /// Its configuration, itself, and its place there: tells webhooks of one name apart.
    pub id: String,
    pub rules: Vec<RuleWithOperations>,
    /// Whether it also concerns the same objects in other versions.
    pub equivalent: bool,
    pub selectors: Selectors,
    /// Whether the request goes on where it cannot be asked.
    pub fails_open: bool,
    /// Whether asking it with a request that is not to be stored is harmless.
    pub bears_dry_run: bool,
    /// Whether it wants to see what others made of the object after it.
    pub reinvoked: bool,
    pub timeout: Duration,
    /// The review that it reads; none: none that is known here.
    pub version: Option<Version>,
    pub conditions: Conditions,
    /// Where it is; the error says what the configuration lacks.
    pub place: Result<Webhook, String>,
}

/// What both kinds of webhooks say.
struct Said<'a> {
    name: &'a str,
    client: &'a WebhookClientConfig,
    rules: &'a [RuleWithOperations],
    match_policy: Option<&'a String>,
    namespaces: Option<&'a LabelSelector>,
    objects: Option<&'a LabelSelector>,
    failure_policy: Option<&'a String>,
    side_effects: Option<&'a String>,
    reinvocation: Option<&'a String>,
    timeout_s: Option<i32>,
    versions: &'a [String],
    conditions: &'a [MatchCondition],
}

macro_rules! said {
    ($hook:expr, $reinvocation:expr) => {
        Said {
            name: &$hook.name,
            client: &$hook.client_config,
            rules: &$hook.rules,
            match_policy: $hook.match_policy.as_ref(),
            namespaces: $hook.namespace_selector.as_ref(),
            objects: $hook.object_selector.as_ref(),
            failure_policy: $hook.failure_policy.as_ref(),
            side_effects: $hook.side_effects.as_ref(),
            reinvocation: $reinvocation,
            timeout_s: $hook.timeout_seconds,
            versions: &$hook.admission_review_versions,
            conditions: &$hook.match_conditions,
        }
    };
}

/// The webhooks of a configuration that judge, in their order.
pub fn validating(configuration: &ValidatingWebhookConfiguration) -> Vec<Hook> {
    all(&configuration.metadata.name, configuration.webhooks.iter().map(|hook| said!(hook, None)))
}

/// The webhooks of a configuration that change, in their order.
pub fn mutating(configuration: &MutatingWebhookConfiguration) -> Vec<Hook> {
    let hooks = configuration.webhooks.iter();
    all(&configuration.metadata.name, hooks.map(|hook| said!(hook, hook.reinvocation_policy.as_ref())))
}

fn all<'a>(configuration: &str, hooks: impl Iterator<Item = Said<'a>>) -> Vec<Hook> {
    hooks.enumerate().map(|(index, said)| one(format!("{configuration}/{}/{index}", said.name), &said)).collect()
}

fn one(id: String, said: &Said<'_>) -> Hook {
    let is = |text: Option<&String>, wanted: &[&str]| text.is_some_and(|text| wanted.contains(&text.as_str()));
    let service = said.client.service.as_ref().map(|service| ServiceName {
        namespace: &service.namespace,
        name: &service.name,
        path: service.path.as_deref().unwrap_or_default(),
        port: service.port,
    });
    let seconds = said.timeout_s.and_then(|seconds| u64::try_from(seconds).ok());
    Hook {
        name: said.name.to_owned(),
        id,
        rules: said.rules.to_vec(),
        equivalent: is(said.match_policy, &["Equivalent"]),
        selectors: Selectors::new(said.namespaces, said.objects),
        fails_open: is(said.failure_policy, &["Ignore"]),
        bears_dry_run: is(said.side_effects, &["None", "NoneOnDryRun"]),
        reinvoked: is(said.reinvocation, &["IfNeeded"]),
        timeout: seconds.map_or(TIMEOUT_DEFAULT, Duration::from_secs),
        version: Version::of(said.versions),
        conditions: Conditions::new(said.conditions),
        place: Webhook::new(said.client.url.as_deref(), service, &said.client.ca_bundle),
    }
}

#[cfg(test)]
mod tests {
    use proto::admissionregistration::v1::MutatingWebhook;

    use super::*;

    #[test]
    fn a_webhook_is_told_apart_by_its_place() {
        let hook = |timeout_seconds| MutatingWebhook {
            name: "a.b.c".into(),
            timeout_seconds,
            failure_policy: Some("Ignore".into()),
            reinvocation_policy: Some("IfNeeded".into()),
            side_effects: Some("Unknown".into()),
            admission_review_versions: vec!["v9".into(), "v1beta1".into(), "v1".into()],
            ..Default::default()
        };
        let mut configuration = MutatingWebhookConfiguration::default();
        configuration.metadata.name = "conf".into();
        configuration.webhooks = vec![hook(None), hook(Some(3))];
        let hooks = mutating(&configuration);
        assert_eq!((hooks[0].id.as_str(), hooks[1].id.as_str()), ("conf/a.b.c/0", "conf/a.b.c/1"));
        assert_eq!((hooks[0].timeout.as_secs(), hooks[1].timeout.as_secs()), (10, 3));
        assert!(hooks[0].fails_open && hooks[0].reinvoked && !hooks[0].bears_dry_run && !hooks[0].equivalent);
        assert_eq!(hooks[0].version, Some(Version::V1Beta1));
        assert!(hooks[0].place.is_err());
    }
}
