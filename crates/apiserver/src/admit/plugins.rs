//! The admission plugins by their names, and which of them run.

use std::fmt;

/// What a plugin is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Runs unless it is switched off.
    On,
    /// Runs where it is switched on.
    Off,
    /// Upstream's, for an API that is not served here, or for what another plugin does already: nothing is to be done.
    Idle,
    /// Not there: asking for it is refused.
    Missing,
}

macro_rules! plugins {
    ($($name:ident $state:ident)*) => {
        /// A plugin.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Plugin { $($name,)* }

        /// In upstream's order.
        const ALL: &[(Plugin, &str, State)] = &[$((Plugin::$name, stringify!($name), State::$state),)*];
    };
}

plugins! {
    AlwaysAdmit Idle
    NamespaceAutoProvision Missing
    NamespaceLifecycle On
    NamespaceExists Idle
    LimitPodHardAntiAffinityTopology Off
    LimitRanger On
    ServiceAccount On
    NodeRestriction On
    TaintNodesByCondition On
    AlwaysPullImages Off
    ImagePolicyWebhook Missing
    PodSecurity On
    PodNodeSelector Missing
    Priority On
    DefaultTolerationSeconds On
    PodTolerationRestriction Missing
    EventRateLimit Missing
    ExtendedResourceToleration Off
    DefaultStorageClass On
    StorageObjectInUseProtection On
    PodGroupProtection Idle
    OwnerReferencesPermissionEnforcement Missing
    PersistentVolumeClaimResize On
    RuntimeClass On
    CertificateApproval On
    CertificateSigning On
    ClusterTrustBundleAttest Idle
    CertificateSubjectRestriction On
    DefaultIngressClass On
    DenyServiceExternalIPs Off
    PodTopologyLabels On
    PodGroupWorkloadExists Idle
    NodeDeclaredFeatureValidator Idle
    JobValidation Idle
    PodResizeValidator On
    MutatingAdmissionPolicy On
    MutatingAdmissionWebhook On
    ValidatingAdmissionPolicy On
    ValidatingAdmissionWebhook On
    ResourceQuota On
    AlwaysDeny Off
}

/// Which plugins run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plugins(u64);

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(ALL.iter().filter(|row| self.run(row.0)).map(|row| row.1)).finish()
    }
}

impl Default for Plugins {
    fn default() -> Self {
        ALL.iter().filter(|row| row.2 == State::On).fold(Self(0), |plugins, row| plugins.with(row.0))
    }
}

impl Plugins {
    /// The usual ones, with those more and those less; names as [`name`] takes them. What is switched off stays off.
    pub fn new(enabled: &[String], disabled: &[String]) -> Self {
        let named = |names: &[String]| {
            let rows = ALL.iter().filter(|row| names.iter().any(|name| name == row.1));
            rows.fold(Self(0), |plugins, row| plugins.with(row.0))
        };
        Self((Self::default().0 | named(enabled).0) & !named(disabled).0)
    }

    fn with(self, plugin: Plugin) -> Self {
        Self(self.0 | 1 << plugin as u32)
    }

    /// Whether that one runs.
    pub fn run(self, plugin: Plugin) -> bool {
        self.0 & (1 << plugin as u32) != 0
    }
}

/// A name of `--disable-admission-plugins`.
pub fn name(text: &str) -> Result<String, String> {
    match ALL.iter().any(|row| row.1 == text) {
        true => Ok(text.to_owned()),
        false => {
            let known: Vec<&str> = ALL.iter().map(|row| row.1).collect();
            Err(format!("there is no such admission plugin; there are {}", known.join(", ")))
        }
    }
}

/// A name of `--enable-admission-plugins`.
pub fn enabled_name(text: &str) -> Result<String, String> {
    let name = name(text)?;
    match ALL.iter().any(|row| row.1 == text && row.2 == State::Missing) {
        true => Err(format!("the admission plugin {text} is not there; leave it out")),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn plugins_are_switched_on_and_off_by_name() {
        let usual = Plugins::default();
        assert!(usual.run(Plugin::Priority) && usual.run(Plugin::NodeRestriction) && !usual.run(Plugin::AlwaysDeny));
        let plugins = Plugins::new(&names(&["AlwaysPullImages", "Priority"]), &names(&["Priority", "LimitRanger"]));
        assert!(plugins.run(Plugin::AlwaysPullImages) && !plugins.run(Plugin::Priority));
        assert!(!plugins.run(Plugin::LimitRanger) && plugins.run(Plugin::ServiceAccount));
    }

    #[test]
    fn names_that_nobody_knows_are_refused() {
        assert!(name("Priority").is_ok() && name("ImagePolicyWebhook").is_ok() && name("Nothing").is_err());
        assert!(enabled_name("AlwaysPullImages").is_ok() && enabled_name("NamespaceExists").is_ok());
        let missing = enabled_name("EventRateLimit").expect_err("not there");
        assert!(missing.contains("leave it out"), "{missing}");
    }

    #[test]
    fn every_plugin_has_a_place_in_the_set() {
        assert!(ALL.len() <= 64);
    }
}
