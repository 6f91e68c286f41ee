//! Why a node cannot take a pod, in upstream's words, and which plugin says so.

use std::fmt;
use std::sync::Arc;

/// A filter plugin; the order is the order in which nodes are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plugin {
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    PodTopologySpread,
    InterPodAffinity,
}

/// A set of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plugins(u16);

impl Plugins {
    /// No plugin.
    pub const NONE: Self = Self(0);

    pub fn of(plugins: &[Plugin]) -> Self {
        plugins.iter().fold(Self::default(), |set, plugin| set.with(*plugin))
    }

    pub fn with(self, plugin: Plugin) -> Self {
        Self(self.0 | 1 << plugin as u16)
    }

    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Unschedulable,
    NodeName,
    Taints,
    NodeAffinity,
    Ports,
    TooManyPods,
    /// `whole`: even an empty node would not do.
    Insufficient {
        resource: Arc<str>,
        whole: bool,
    },
    Spread,
    SpreadLabel,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
}

impl Reason {
    pub fn plugin(&self) -> Plugin {
        match self {
            Self::Unschedulable => Plugin::NodeUnschedulable,
            Self::NodeName => Plugin::NodeName,
            Self::Taints => Plugin::TaintToleration,
            Self::NodeAffinity => Plugin::NodeAffinity,
            Self::Ports => Plugin::NodePorts,
            Self::TooManyPods | Self::Insufficient { .. } => Plugin::NodeResourcesFit,
            Self::Spread | Self::SpreadLabel => Plugin::PodTopologySpread,
            Self::PodAffinity | Self::PodAntiAffinity | Self::ExistingAntiAffinity => Plugin::InterPodAffinity,
        }
    }

    /// Whether the eviction of pods from the node could help.
    pub fn resolvable(&self) -> bool {
        match self {
            Self::Ports | Self::TooManyPods | Self::Spread | Self::PodAntiAffinity | Self::ExistingAntiAffinity => true,
            Self::Insufficient { whole, .. } => !whole,
            Self::Unschedulable
            | Self::NodeName
            | Self::Taints
            | Self::NodeAffinity
            | Self::SpreadLabel
            | Self::PodAffinity => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unschedulable => "node(s) were unschedulable",
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Taints => "node(s) had untolerated taint(s)",
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Insufficient { resource, .. } => return write!(f, "Insufficient {resource}"),
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::SpreadLabel => "node(s) didn't match pod topology spread constraints (missing required label)",
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
        })
    }
}
