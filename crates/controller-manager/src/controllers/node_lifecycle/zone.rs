//! How ill each zone is, and how fast its nodes may be emptied therefore.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::core::v1::Node;

use super::ready_status;
use crate::flags::Settings;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What is the matter with a zone; names as upstream has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disruption {
    Normal,
    /// Most of its nodes, and at least three, are not ready.
    Partial,
    /// None is ready.
    Full,
}

#[derive(Debug)]
struct Zone {
    nodes: usize,
    disruption: Disruption,
}

/// All zones that have nodes.
#[derive(Debug, Default)]
pub struct Zones {
    zones: BTreeMap<String, Zone>,
}

/// The zone that a node says it is in; nodes that say nothing share one.
pub fn name(node: &Node) -> String {
    let label = |key: &str| node.metadata.labels.get(key).map(String::as_str).unwrap_or_default();
    format!("{}/{}", label(REGION), label(ZONE))
}

impl Zones {
    /// Judges each zone by its nodes' conditions.
    pub fn of(nodes: &[Arc<Node>], settings: &Settings) -> Self {
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for node in nodes {
            let (all, ill) = counts.entry(name(node)).or_default();
            *all += 1;
            *ill += usize::from(ready_status(node) != "True");
        }
        let judged = counts.into_iter().map(|(name, (nodes, ill))| {
            let disruption = if ill == nodes {
                Disruption::Full
            } else if ill > 2 && ill as f32 / nodes as f32 >= settings.unhealthy_zone_threshold {
                Disruption::Partial
            } else {
                Disruption::Normal
            };
            (name, Zone { nodes, disruption })
        });
        Self { zones: judged.collect() }
    }

    /// No node of any zone is ready.
    pub fn all_silent(&self) -> bool {
        !self.zones.is_empty() && self.zones.values().all(|zone| zone.disruption == Disruption::Full)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zones.keys().map(String::as_str)
    }

    /// Nodes of this zone that may be emptied a second.
    pub fn rate(&self, zone: &str, settings: &Settings) -> f32 {
        match self.zones.get(zone) {
            _ if self.all_silent() => 0.0,
            Some(Zone { nodes, disruption: Disruption::Partial }) => {
                if *nodes > settings.large_cluster_size_threshold {
                    settings.secondary_node_eviction_rate
                } else {
                    0.0
                }
            }
            // A whole zone that is lost while others live is emptied at the usual rate.
            _ => settings.node_eviction_rate,
        }
    }
}
