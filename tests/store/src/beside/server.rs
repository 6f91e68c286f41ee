//! One server that is asked: its clients, its streams, who it is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::answer::{Answer, Identity};
use super::case::{AuthCase, Case, Whose};
use super::inbox::Watching;

/// A request that takes longer was lost.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    pub name: &'static str,
    identity: Identity,
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    cluster: ClusterClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    auth: AuthClient<Channel>,
    renewing: Option<Renewing>,
    pub streams: Vec<Watching>,
}

struct Renewing {
    tx: mpsc::Sender<etcd::LeaseKeepAliveRequest>,
    rx: Streaming<etcd::LeaseKeepAliveResponse>,
}

async fn channel(port: u16) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
    Ok(endpoint.connect_timeout(Duration::from_secs(10)).connect().await?)
}

impl Server {
    pub async fn connect(name: &'static str, port: u16, streams: usize) -> Result<Self> {
        let requests = channel(port).await?;
        let (_, member) = crate::introduced(port).await?;
        let identity = Identity {
            member: member.id,
            peer_url: member.peer_urls.first().context("a peer URL")?.clone(),
            client_url: member.client_urls.first().context("a client URL")?.clone(),
            learners: Vec::new(),
        };
        let mut watching = Vec::new();
        for _ in 0..streams {
            // A connection each: what one stream does not read does not hold up another.
            watching.push(Watching::new(channel(port).await?));
        }
        Ok(Self {
            name,
            identity,
            kv: KvClient::new(requests.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(requests.clone()),
            cluster: ClusterClient::new(requests.clone()),
            maintenance: MaintenanceClient::new(requests.clone()),
            auth: AuthClient::new(requests),
            renewing: None,
            streams: watching,
        })
    }

    /// Asks all of it at once: reads, of which none changes what another finds.
    pub async fn ask_reads(&self, cases: &[Case]) -> Result<Vec<Answer>> {
        let mut asked = tokio::task::JoinSet::new();
        for (at, case) in cases.iter().enumerate() {
            let (case, clients) = (case.clone(), self.clients());
            asked.spawn(async move { (at, clients.read(case).await) });
        }
        let mut answers = vec![Answer::Silence; cases.len()];
        let all = async {
            while let Some(done) = asked.join_next().await {
                let (at, answer) = done?;
                answers[at] = answer;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .with_context(|| format!("{} does not answer {cases:?}", self.name))??;
        Ok(answers.into_iter().map(|answer| answer.without(&self.identity)).collect())
    }

    pub async fn ask(&mut self, case: &Case) -> Result<Answer> {
        let name = self.name;
        let asked = tokio::time::timeout(PATIENCE, self.answer(case)).await;
        let answer = asked.with_context(|| format!("{name} does not answer {case:?}"))??;
        Ok(answer.without(&self.identity))
    }

    /// Whether an answer means that the server ended.
    pub fn is_gone(&self, answer: &Answer) -> bool {
        matches!(answer, Answer::Refused { text, .. } if text.contains("transport error") || text.contains("connect error"))
    }

    fn clients(&self) -> Clients {
        Clients {
            kv: self.kv.clone(),
            lease: self.lease.clone(),
            cluster: self.cluster.clone(),
            maintenance: self.maintenance.clone(),
            auth: self.auth.clone(),
        }
    }

    fn id(&self, whose: Whose) -> u64 {
        match whose {
            Whose::Own => self.identity.member,
            Whose::Learner(at) => self.identity.learners.get(at).copied().unwrap_or(0),
            Whose::Id(id) => id,
        }
    }

    async fn answer(&mut self, case: &Case) -> Result<Answer> {
        Ok(match case.clone() {
            Case::Put(req) => self.kv.put(req).await.into(),
            Case::DeleteRange(req) => self.kv.delete_range(req).await.into(),
            Case::Txn(req) => self.kv.txn(req).await.into(),
            Case::Compact(req) => self.kv.compact(req).await.into(),
            Case::LeaseGrant(req) => self.lease.lease_grant(req).await.into(),
            Case::LeaseRevoke(req) => self.lease.lease_revoke(req).await.into(),
            Case::LeaseOfAnyId { ttl } => self.lease_of_any_id(ttl).await?,
            Case::LeaseKeepAlive { id } => self.renew(id).await?,
            Case::Alarm { action, alarm, member } => {
                let req = etcd::AlarmRequest { action: action as i32, member_id: self.id(member), alarm };
                self.maintenance.alarm(req).await.into()
            }
            Case::MoveLeader { to } => {
                let req = etcd::MoveLeaderRequest { target_id: self.id(to) };
                self.maintenance.move_leader(req).await.into()
            }
            Case::Downgrade(req) => self.maintenance.downgrade(req).await.into(),
            Case::Auth(auth) => self.clients().auth(auth).await,
            Case::Watch { .. } | Case::WatchCancel { .. } | Case::WatchProgress { .. } => self.watch(case).await?,
            Case::MemberAdd { .. } | Case::MemberUpdate { .. } => self.members(case).await,
            Case::MemberPromote { .. } | Case::MemberRemove { .. } => self.members(case).await,
            read => self.clients().read(read).await,
        })
    }

    async fn members(&mut self, case: &Case) -> Answer {
        match case.clone() {
            Case::MemberAdd { urls } => {
                let added = self.cluster.member_add(etcd::MemberAddRequest { peer_urls: urls, is_learner: true }).await;
                if let Ok(rsp) = &added
                    && let Some(member) = &rsp.get_ref().member
                {
                    self.identity.learners.insert(0, member.id);
                }
                added.into()
            }
            Case::MemberUpdate { member, urls } => {
                let req = etcd::MemberUpdateRequest { id: self.id(member), peer_urls: urls };
                self.cluster.member_update(req).await.into()
            }
            Case::MemberPromote { member } => {
                self.cluster.member_promote(etcd::MemberPromoteRequest { id: self.id(member) }).await.into()
            }
            Case::MemberRemove { member } => {
                let id = self.id(member);
                let removed = self.cluster.member_remove(etcd::MemberRemoveRequest { id }).await;
                if removed.is_ok() {
                    self.identity.learners.retain(|learner| *learner != id);
                }
                removed.into()
            }
            _ => Answer::Silence,
        }
    }

    async fn watch(&mut self, case: &Case) -> Result<Answer> {
        Ok(match case.clone() {
            Case::Watch { stream, create } => {
                self.streams[stream].ask(RequestUnion::CreateRequest(create)).await?.into()
            }
            Case::WatchCancel { stream, watch_id, known } => {
                let cancel = RequestUnion::CancelRequest(etcd::WatchCancelRequest { watch_id });
                match known {
                    true => self.streams[stream].ask(cancel).await?.into(),
                    false => {
                        self.streams[stream].send(cancel).await?;
                        Answer::Silence
                    }
                }
            }
            Case::WatchProgress { stream } => {
                let progress = RequestUnion::ProgressRequest(etcd::WatchProgressRequest {});
                self.streams[stream].ask(progress).await?.into()
            }
            _ => Answer::Silence,
        })
    }

    async fn lease_of_any_id(&mut self, ttl: i64) -> Result<Answer> {
        let granted = self.lease.lease_grant(etcd::LeaseGrantRequest { id: 0, ttl }).await;
        let Ok(rsp) = &granted else { return Ok(granted.into()) };
        let id = rsp.get_ref().id;
        ensure!(id > 0, "{} grants a lease of id {id}", self.name);
        let left = self.lease.lease_time_to_live(etcd::LeaseTimeToLiveRequest { id, keys: true }).await;
        let revoked = self.lease.lease_revoke(etcd::LeaseRevokeRequest { id }).await;
        let answers = [granted.into(), left.into(), revoked.into()];
        Ok(Answer::Several(answers.map(|answer: Answer| answer.without_lease(id)).into()))
    }

    async fn renew(&mut self, id: i64) -> Result<Answer> {
        let request = etcd::LeaseKeepAliveRequest { id };
        let renewing = match &mut self.renewing {
            Some(renewing) => {
                renewing.tx.send(request).await?;
                renewing
            }
            none => {
                let (tx, rx) = mpsc::channel(1);
                tx.send(request).await?;
                let rx = self.lease.lease_keep_alive(ReceiverStream::new(rx)).await?.into_inner();
                none.insert(Renewing { tx, rx })
            }
        };
        Ok(renewing.rx.message().await?.context("the end of renewals")?.into())
    }
}

/// Everything for requests that change nothing of the test's own.
struct Clients {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    cluster: ClusterClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    auth: AuthClient<Channel>,
}

impl Clients {
    async fn read(mut self, case: Case) -> Answer {
        match case {
            Case::Range(req) => self.kv.range(req).await.into(),
            Case::LeaseTimeToLive(req) => self.lease.lease_time_to_live(req).await.into(),
            Case::LeaseLeases => self.lease.lease_leases(etcd::LeaseLeasesRequest {}).await.into(),
            Case::Status => self.maintenance.status(etcd::StatusRequest {}).await.into(),
            Case::HashKv { revision } => self.maintenance.hash_kv(etcd::HashKvRequest { revision }).await.into(),
            Case::Defragment => self.maintenance.defragment(etcd::DefragmentRequest {}).await.into(),
            Case::MemberList { linearizable } => {
                self.cluster.member_list(etcd::MemberListRequest { linearizable }).await.into()
            }
            Case::Auth(auth) => self.auth(auth).await,
            _ => Answer::Silence,
        }
    }

    async fn auth(mut self, case: AuthCase) -> Answer {
        match case {
            AuthCase::Enable => self.auth.auth_enable(etcd::AuthEnableRequest {}).await.into(),
            AuthCase::Disable => self.auth.auth_disable(etcd::AuthDisableRequest {}).await.into(),
            AuthCase::Status => self.auth.auth_status(etcd::AuthStatusRequest {}).await.into(),
            AuthCase::UserAdd(req) => self.auth.user_add(req).await.into(),
            AuthCase::UserGet(req) => self.auth.user_get(req).await.into(),
            AuthCase::UserList => self.auth.user_list(etcd::AuthUserListRequest {}).await.into(),
            AuthCase::UserDelete(req) => self.auth.user_delete(req).await.into(),
            AuthCase::UserChangePassword(req) => self.auth.user_change_password(req).await.into(),
            AuthCase::UserGrantRole(req) => self.auth.user_grant_role(req).await.into(),
            AuthCase::UserRevokeRole(req) => self.auth.user_revoke_role(req).await.into(),
            AuthCase::RoleAdd(req) => self.auth.role_add(req).await.into(),
            AuthCase::RoleGet(req) => self.auth.role_get(req).await.into(),
            AuthCase::RoleList => self.auth.role_list(etcd::AuthRoleListRequest {}).await.into(),
            AuthCase::RoleDelete(req) => self.auth.role_delete(req).await.into(),
            AuthCase::RoleGrantPermission(req) => self.auth.role_grant_permission(req).await.into(),
            AuthCase::RoleRevokePermission(req) => self.auth.role_revoke_permission(req).await.into(),
            AuthCase::Authenticate(req) => self.auth.authenticate(req).await.into(),
        }
    }
}
