//! Who is in the cluster when it begins, and how its members are called.

use std::collections::BTreeMap;

use super::{Config, ConfigError, listen};
use crate::ids;
use crate::raft::types::Peer;

#[derive(Clone, Debug, clap::Args)]
pub struct ClusterFlags {
    /// This member's URLs as clients are told, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        env = "ETCD_ADVERTISE_CLIENT_URLS",
        help_heading = "Cluster"
    )]
    pub advertise_client_urls: Vec<String>,
    /// This member's URLs as other members dial them, separated by commas.
    #[arg(
        long,
        value_name = "URLS",
        value_delimiter = ',',
        env = "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        help_heading = "Cluster"
    )]
    pub initial_advertise_peer_urls: Vec<String>,
    /// The domain whose SRV records name the members of the first start, instead of --initial-cluster.
    #[arg(
        long,
        value_name = "DOMAIN",
        conflicts_with = "initial_cluster",
        env = "ETCD_DISCOVERY_SRV",
        help_heading = "Cluster"
    )]
    pub discovery_srv: Option<String>,
    /// Goes into the records' name: _etcd-server-NAME._tcp.DOMAIN.
    #[arg(
        long,
        value_name = "NAME",
        requires = "discovery_srv",
        env = "ETCD_DISCOVERY_SRV_NAME",
        help_heading = "Cluster"
    )]
    pub discovery_srv_name: Option<String>,
    /// Name server to ask for them instead of those in /etc/resolv.conf: ADDRESS:PORT.
    #[arg(long, value_name = "ADDRESS", requires = "discovery_srv", help_heading = "Cluster")]
    pub discovery_srv_server: Option<std::net::SocketAddr>,
    /// The members of the first start: NAME=PEER-URL, separated by commas.
    #[arg(long, value_name = "MEMBERS", env = "ETCD_INITIAL_CLUSTER", help_heading = "Cluster")]
    pub initial_cluster: Option<String>,
    /// new: the first start begins the cluster; existing: it joins one to which it was added.
    #[arg(long, value_name = "STATE", default_value = "new", value_parser = ["new", "existing"], env = "ETCD_INITIAL_CLUSTER_STATE", help_heading = "Cluster")]
    pub initial_cluster_state: String,
    /// Refuse changes of the membership that could cost the quorum.
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        env = "ETCD_STRICT_RECONFIG_CHECK",
        help_heading = "Cluster"
    )]
    pub strict_reconfig_check: bool,
    /// Learners that the cluster may have at once.
    #[arg(
        long,
        alias = "experimental-max-learners",
        value_name = "N",
        default_value_t = 1,
        env = "ETCD_MAX_LEARNERS",
        help_heading = "Cluster"
    )]
    pub max_learners: usize,
    /// Tells clusters apart that began alike.
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "etcd-cluster",
        env = "ETCD_INITIAL_CLUSTER_TOKEN",
        help_heading = "Cluster"
    )]
    pub initial_cluster_token: String,
}

/// Who is who.
#[derive(Debug)]
pub struct Ids {
    pub cluster_id: u64,
    pub member_id: u64,
    pub members: BTreeMap<u64, Peer>,
}

impl Config {
    /// What clients are told to dial.
    pub fn advertised_client_urls(&self) -> Vec<String> {
        if self.cluster.advertise_client_urls.is_empty() {
            self.listen_client_urls.clone()
        } else {
            self.cluster.advertise_client_urls.clone()
        }
    }

    pub fn advertised_peer_urls(&self) -> Vec<String> {
        if self.cluster.initial_advertise_peer_urls.is_empty() {
            self.listen_peer_urls.clone()
        } else {
            self.cluster.initial_advertise_peer_urls.clone()
        }
    }

    /// The members of the first start, by name.
    pub fn initial_members(&self) -> Result<BTreeMap<String, Vec<String>>, ConfigError> {
        let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let Some(text) = self.cluster.initial_cluster.as_deref().filter(|text| !text.trim().is_empty()) else {
            members.insert(self.name.clone(), self.advertised_peer_urls());
            return Ok(members);
        };
        for part in text.split(',') {
            let (name, url) = part.trim().split_once('=').ok_or_else(|| ConfigError::Member(part.to_owned()))?;
            listen("--initial-cluster", url)?;
            members.entry(name.to_owned()).or_default().push(url.to_owned());
        }
        if !members.contains_key(&self.name) {
            return Err(ConfigError::NotNamed(self.name.clone()));
        }
        Ok(members)
    }

    /// Ids of cluster and members, the same wherever the same flags are given.
    pub fn ids(&self) -> Result<Ids, ConfigError> {
        Ok(self.ids_of(self.initial_members()?))
    }

    /// The same for these members.
    pub fn ids_of(&self, members: BTreeMap<String, Vec<String>>) -> Ids {
        let mut by_id = BTreeMap::new();
        let mut own = 0;
        for (name, mut peer_urls) in members {
            peer_urls.sort();
            let id = ids::member(&peer_urls, &self.cluster.initial_cluster_token, None);
            if name == self.name {
                own = id;
            }
            by_id.insert(id, Peer { name, peer_urls, joins_voters: true });
        }
        Ids { cluster_id: ids::cluster(by_id.keys().copied()), member_id: own, members: by_id }
    }
}
