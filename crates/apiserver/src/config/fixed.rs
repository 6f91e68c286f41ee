//! Flags of kube-apiserver whose behaviour is fixed here. They are taken, so that upstream's command lines start this
//! apiserver; one that asks for something else is refused, and one that asks for what is not there yet is named in the
//! log.

use clap::ArgAction;
use clap::builder::BoolishValueParser;

/// The admission plugins that run; they cannot be switched off.
const PLUGINS: [&str; 7] = [
    "NamespaceLifecycle",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "Priority",
    "DefaultTolerationSeconds",
    "StorageObjectInUseProtection",
];
/// Plugins of upstream's that are not there yet: asking for them has no effect.
const LATER: [&str; 23] = [
    "AlwaysAdmit",
    "AlwaysPullImages",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "ClusterTrustBundleAttest",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "ImagePolicyWebhook",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "NodeDeclaredFeatureValidator",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "PodNodeSelector",
    "PodSecurity",
    "ResourceQuota",
    "RuntimeClass",
    "ValidatingAdmissionWebhook",
];

/// Flags without a choice.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Taken for the sake of kube-apiserver's command lines; without effect")]
pub struct Fixed {
    /// Privileged containers are allowed; false is refused
    #[arg(long, value_parser = only_true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "true")]
    allow_privileged: Option<bool>,
    /// Node and RBAC always decide, in this order
    #[arg(long, value_delimiter = ',', value_parser = ["Node", "RBAC"], value_name = "MODE,...")]
    authorization_mode: Vec<String>,
    /// Those that are there always run
    #[arg(long, value_delimiter = ',', value_parser = plugin, value_name = "PLUGIN,...")]
    enable_admission_plugins: Vec<String>,
    /// Those that are there cannot be switched off
    #[arg(long, value_delimiter = ',', value_parser = later_plugin, value_name = "PLUGIN,...")]
    disable_admission_plugins: Vec<String>,
    /// Bootstrap tokens are not taken yet
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    enable_bootstrap_token_auth: Option<bool>,
}

impl Fixed {
    /// A line for each flag that was given and changes nothing, with the reason.
    pub fn without_effect(&self) -> Vec<String> {
        let later: Vec<&str> =
            self.enable_admission_plugins.iter().map(String::as_str).filter(|name| LATER.contains(name)).collect();
        let plugins = format!("{} not there yet, all others always run", later.join(", "));
        let given = [
            (self.allow_privileged.is_some(), "--allow-privileged", "privileged containers are always allowed"),
            (!self.authorization_mode.is_empty(), "--authorization-mode", "Node and RBAC always decide"),
            (!later.is_empty(), "--enable-admission-plugins", plugins.as_str()),
            (!self.disable_admission_plugins.is_empty(), "--disable-admission-plugins", "they are not there"),
            (self.enable_bootstrap_token_auth == Some(true), "--enable-bootstrap-token-auth", "not there yet"),
        ];
        given.iter().filter(|(is, ..)| *is).map(|(_, flag, why)| format!("{flag} has no effect: {why}")).collect()
    }
}

fn only_true(text: &str) -> Result<bool, String> {
    if text == "true" { Ok(true) } else { Err("only true is possible: privileged containers are allowed".to_owned()) }
}

fn plugin(name: &str) -> Result<String, String> {
    match PLUGINS.contains(&name) || LATER.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("there is no such admission plugin; there are {}", PLUGINS.join(", "))),
    }
}

fn later_plugin(name: &str) -> Result<String, String> {
    match LATER.contains(&name) {
        true => Ok(name.to_owned()),
        false if PLUGINS.contains(&name) => Err("it always runs and cannot be switched off".to_owned()),
        false => Err("there is no such admission plugin".to_owned()),
    }
}
