//! What a member holds, as text that stays the same for the same data: keys with their history, leases, alarms, users,
//! roles, members.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use proto::authpb::permission;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// Longer values are told by their length; the hash is of all of them.
const SHOWN: usize = 40;
/// Of the revisions before, every so many-th is looked at.
const HISTORY_STEP: usize = 16;

/// A connection, as a user where users are on.
pub struct Session {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Session {
    pub async fn open(channel: Channel, user: Option<(&str, &str)>) -> Result<Self> {
        let Some((name, password)) = user else { return Ok(Self { channel, token: None }) };
        let request = etcd::AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
        let token = AuthClient::new(channel.clone()).authenticate(request).await?.into_inner().token;
        Ok(Self { channel, token: Some(token.parse()?) })
    }

    pub fn ask<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    /// All of it.
    pub async fn dump(&self) -> Result<String> {
        let mut text = String::new();
        self.history(&mut text).await?;
        self.leases(&mut text).await?;
        self.alarms(&mut text).await?;
        self.users(&mut text).await?;
        self.members(&mut text).await?;
        Ok(text)
    }

    async fn all(&self, revision: i64) -> Result<etcd::RangeResponse, tonic::Status> {
        let zero = bytes::Bytes::from_static(&[0]);
        let range = etcd::RangeRequest { key: zero.clone(), range_end: zero, revision, ..Default::default() };
        Ok(self.kv().range(self.ask(range)).await?.into_inner())
    }

    async fn history(&self, text: &mut String) -> Result<()> {
        let now = self.all(0).await?;
        let revision = now.header.as_ref().context("a header")?.revision;
        let hash = self.maintenance().hash_kv(self.ask(etcd::HashKvRequest { revision })).await?.into_inner();
        let compacted = hash.compact_revision;
        writeln!(text, "revision {revision}, compacted at {compacted}, hash {}", hash.hash)?;
        for kv in &now.kvs {
            let (key, value) = (kv.key.escape_ascii(), shown(&kv.value));
            let (created, changed, version, lease) = (kv.create_revision, kv.mod_revision, kv.version, kv.lease);
            writeln!(
                text,
                "{key} = {value}: created {created}, changed {changed}, version {version}, lease {lease:x}"
            )?;
        }
        for at in (compacted.max(1)..revision).step_by(HISTORY_STEP) {
            let then = self.all(at).await?.kvs;
            let bytes: usize = then.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
            let newest = then.iter().map(|kv| kv.mod_revision).max().unwrap_or_default();
            writeln!(text, "at revision {at}: {} keys, {bytes} bytes, the newest of {newest}", then.len())?;
        }
        if compacted > 1 {
            let refused = self.all(compacted - 1).await.err().context("what is compacted is gone")?;
            writeln!(text, "at revision {}: {}", compacted - 1, refused.message())?;
        }
        Ok(())
    }

    async fn leases(&self, text: &mut String) -> Result<()> {
        let mut leases = LeaseClient::new(self.channel.clone());
        let all = leases.lease_leases(self.ask(etcd::LeaseLeasesRequest {})).await?.into_inner().leases;
        let mut ids: Vec<i64> = all.into_iter().map(|lease| lease.id).collect();
        ids.sort_unstable();
        for id in ids {
            let ask = self.ask(etcd::LeaseTimeToLiveRequest { id, keys: true });
            let mut lease = leases.lease_time_to_live(ask).await?.into_inner();
            lease.keys.sort();
            let keys: Vec<String> = lease.keys.iter().map(|key| key.escape_ascii().to_string()).collect();
            writeln!(text, "lease {id:x}: {} s, keys [{}]", lease.granted_ttl, keys.join(", "))?;
        }
        Ok(())
    }

    async fn alarms(&self, text: &mut String) -> Result<()> {
        let get = etcd::AlarmRequest { action: AlarmAction::Get as i32, ..Default::default() };
        for alarm in self.maintenance().alarm(self.ask(get)).await?.into_inner().alarms {
            writeln!(text, "alarm {}", alarm.alarm().as_str_name())?;
        }
        Ok(())
    }

    async fn users(&self, text: &mut String) -> Result<()> {
        let mut auth = self.auth();
        let status = auth.auth_status(self.ask(etcd::AuthStatusRequest {})).await?.into_inner();
        writeln!(text, "users are {}, revision {}", if status.enabled { "on" } else { "off" }, status.auth_revision)?;
        for name in auth.user_list(self.ask(etcd::AuthUserListRequest {})).await?.into_inner().users {
            let ask = self.ask(etcd::AuthUserGetRequest { name: name.clone() });
            writeln!(text, "user {name}: {:?}", auth.user_get(ask).await?.into_inner().roles)?;
        }
        for role in auth.role_list(self.ask(etcd::AuthRoleListRequest {})).await?.into_inner().roles {
            let ask = self.ask(etcd::AuthRoleGetRequest { role: role.clone() });
            for may in auth.role_get(ask).await?.into_inner().perm {
                let kind = permission::Type::try_from(may.perm_type)?.as_str_name();
                writeln!(text, "role {role}: {kind} {}..{}", may.key.escape_ascii(), may.range_end.escape_ascii())?;
            }
        }
        Ok(())
    }

    async fn members(&self, text: &mut String) -> Result<()> {
        let ask = self.ask(etcd::MemberListRequest { linearizable: true });
        let mut rsp = ClusterClient::new(self.channel.clone()).member_list(ask).await?.into_inner();
        rsp.members.sort_by_key(|member| member.id);
        writeln!(text, "cluster {:x}", rsp.header.context("a header")?.cluster_id)?;
        for member in rsp.members {
            let (id, name, urls, learner) = (member.id, member.name, member.peer_urls, member.is_learner);
            writeln!(text, "member {id:x} {name} at {urls:?}{}", if learner { ", a learner" } else { "" })?;
        }
        Ok(())
    }
}

fn shown(value: &[u8]) -> String {
    match value.len() {
        0..=SHOWN => format!("{:?}", value.escape_ascii().to_string()),
        len => format!("{:?}... ({len} bytes)", value[..SHOWN].escape_ascii().to_string()),
    }
}
