//! Requests of a client, with what it shows to say who it is.
//!
//! While users are off nobody is asked. Else a write is checked here, so that the log is spared what would be refused, and
//! again when it is applied, where the answer counts. A refusal that comes from state that may be old is looked at again
//! after a round to the leader.

use std::sync::Arc;
use std::time::Duration;

use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::command::Request;

use crate::auth::login::Provider;
use crate::auth::{Who, password, tokens};
use crate::engine::View;
use crate::member::Member;
use crate::mvcc::check;
use crate::mvcc::range::Selection;
use crate::refused::Refused;
use crate::reply::{Answer, Outcome};
use crate::shared::{Held, ReadError};

/// Users and roles that change all the time cannot hold a request up for ever.
const ATTEMPTS_MAX: usize = 16;
/// Letters of a simple token, as etcd has them.
const TOKEN_LEN: usize = 16;
const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a client shows.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub token: Option<String>,
    /// Of a client certificate.
    pub common_name: Option<String>,
}

impl Credentials {
    pub const NOBODY: &Self = &Self { token: None, common_name: None };
}

/// The store itself, when it does what nobody asks for.
pub fn store() -> pb::Caller {
    pb::Caller { store: true, ..Default::default() }
}

/// A member as one client sees it.
pub struct Asked<'a> {
    member: &'a Member,
    by: &'a Credentials,
}

impl Member {
    pub fn asked<'a>(&'a self, by: &'a Credentials) -> Asked<'a> {
        Asked { member: self, by }
    }

    /// Who shows this; none for nobody, and while users are off.
    async fn identify(&self, by: &Credentials) -> Result<Option<pb::Caller>, Refused> {
        if !self.shared.is_guarded() {
            return Ok(None);
        }
        match (&by.token, &by.common_name) {
            (Some(token), _) => self.holder(token).await.map(Some),
            (None, Some(name)) if self.login().certificates => {
                let auth_revision = self.shared.held.read().state.auth.revision();
                Ok(Some(pb::Caller { user: name.clone(), auth_revision, store: false }))
            }
            _ => Ok(None),
        }
    }

    async fn holder(&self, token: &str) -> Result<pb::Caller, Refused> {
        let caller = |(user, auth_revision)| pb::Caller { user, auth_revision, store: false };
        if let Provider::Jwt(jwt) = &self.login().provider {
            return jwt.check(token).map(caller).ok_or(Refused::InvalidAuthToken);
        }
        let index = tokens::index(token).ok_or(Refused::InvalidAuthToken)?;
        if self.shared.applied().is_none_or(|applied| applied.index < index) {
            // Given by another member a moment ago, perhaps.
            self.linearize().await?;
        }
        let held = self.shared.held.read();
        let user = self.shared.tokens.user(token).ok_or(Refused::InvalidAuthToken)?;
        Ok(caller((user, held.state.auth.revision())))
    }
}

impl Asked<'_> {
    /// Reads, as whoever asks. A refusal may come from users and roles that are old here.
    pub async fn look<T>(&self, look: impl Fn(Who<'_>, &Held) -> Result<T, Refused>) -> Result<T, Refused> {
        let look = |who: Who<'_>| look(who, &self.member.shared.held.read()).map_err(ReadError::from);
        self.read(look).await.map_err(|error| match error {
            ReadError::Refused(refused) => refused,
            ReadError::Io(_) => Refused::Corrupt,
        })
    }

    async fn read<T>(&self, read: impl Fn(Who<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let first = match self.member.identify(self.by).await {
            Ok(who) => read(who.as_ref()),
            Err(refused) => Err(refused.into()),
        };
        match first {
            Err(ReadError::Refused(refused)) if refused.is_of_auth() => {
                if self.member.linearize().await.is_err() {
                    return Err(refused.into());
                }
                let who = self.member.identify(self.by).await?;
                read(who.as_ref())
            }
            result => result,
        }
    }

    /// Has a command applied for whoever asks.
    pub async fn propose(&self, request: Request) -> Outcome {
        let member = self.member;
        if !member.shared.is_guarded() {
            return member.propose(request).await;
        }
        for _ in 0..ATTEMPTS_MAX {
            let caller = self
                .read(|who| {
                    let held = member.shared.held.read();
                    held.state.auth.check(&held.state.lessor, who, &request)?;
                    Ok(who.cloned())
                })
                .await
                .map_err(|error| match error {
                    ReadError::Refused(refused) => refused,
                    ReadError::Io(_) => Refused::Corrupt,
                })?;
            let outcome = member.propose_as(caller, request.clone()).await;
            // A signed token tells its own revision: only the client can bring a newer one.
            let again = outcome == Err(Refused::AuthOldRevision) && !self.is_signed();
            if !again {
                return outcome;
            }
            member.linearize().await?;
        }
        Err(Refused::AuthOldRevision)
    }

    fn is_signed(&self) -> bool {
        self.by.token.is_some() && matches!(self.member.login().provider, Provider::Jwt(_))
    }

    pub async fn range(&self, req: &etcd::RangeRequest) -> Result<etcd::RangeResponse, ReadError> {
        let (selection, view) = self.select(req).await?;
        Ok(selection.finish_all(|locs| view.read_all(locs))?)
    }

    /// What a range finds; the values are still to be read.
    pub async fn select(&self, req: &etcd::RangeRequest) -> Result<(Selection, View), ReadError> {
        check::range(req)?;
        if !req.serializable {
            self.member.linearize().await?;
        }
        self.read(|who| self.member.shared.select(who, req)).await
    }

    pub async fn put(&self, req: etcd::PutRequest) -> Outcome {
        check::put(&req)?;
        self.member.check_space()?;
        self.propose(Request::Put(req)).await
    }

    pub async fn delete_range(&self, req: etcd::DeleteRangeRequest) -> Outcome {
        check::delete_range(&req)?;
        self.propose(Request::DeleteRange(req)).await
    }

    pub async fn txn(&self, req: etcd::TxnRequest) -> Result<etcd::TxnResponse, ReadError> {
        check::txn(&req, self.member.limits.txn_ops)?;
        if check::is_read_only(&req) {
            if !check::is_serializable(&req) {
                self.member.linearize().await?;
            }
            return self.read(|who| self.member.shared.read_txn(who, &req)).await;
        }
        if check::puts(&req) {
            self.member.check_space()?;
        }
        match self.propose(Request::Txn(req)).await? {
            Answer::Txn(rsp) => Ok(rsp),
            _ => Err(Refused::Stopped.into()),
        }
    }

    /// Compacts; with `physical`, returns when the space is free.
    pub async fn compact(&self, req: etcd::CompactionRequest) -> Outcome {
        let answer = self.propose(Request::Compact(req)).await?;
        if req.physical {
            self.member.trim().await?;
        }
        Ok(answer)
    }

    /// Grants a lease; everything that is left open is chosen here, so that the log decides alone.
    pub async fn grant(&self, mut req: etcd::LeaseGrantRequest) -> Outcome {
        self.member.check_space()?;
        if req.ttl > crate::lease::TTL_MAX {
            return Err(Refused::LeaseTtlTooLarge);
        }
        req.ttl = req.ttl.max(self.member.limits.lease_ttl_min);
        while req.id == 0 {
            req.id = (self.member.env.random.next() >> 1) as i64;
        }
        self.propose(Request::LeaseGrant(req)).await
    }

    pub async fn revoke(&self, req: etcd::LeaseRevokeRequest) -> Outcome {
        self.propose(Request::LeaseRevoke(req)).await
    }

    /// Renews leases at the leader's clock; `renewed` is told each, with its time to live: 0 when there is none such.
    pub async fn keep_alive(&self, leases: &[i64], mut renewed: impl FnMut(i64, i64)) -> Result<(), Refused> {
        let mut renewal = self.member.renewal().await?;
        for lease in leases {
            if self.member.shared.is_guarded() {
                self.look(|who, held| {
                    held.state.auth.check_known(who)?;
                    held.state.auth.check_lease(&held.state.lessor, who, *lease)
                })
                .await?;
            }
            renewed(*lease, renewal.renew(*lease).await?);
        }
        Ok(())
    }

    /// A token for a user, for its password.
    pub async fn authenticate(&self, req: etcd::AuthenticateRequest) -> Result<String, Refused> {
        let member = self.member;
        let password: Arc<str> = req.password.into();
        for _ in 0..ATTEMPTS_MAX {
            member.linearize().await?;
            let (stored, auth_revision) = {
                let held = member.shared.held.read();
                let auth = &held.state.auth;
                if !auth.enabled() {
                    return Err(Refused::AuthNotEnabled);
                }
                (auth.with_password(&req.name)?.password.clone(), auth.revision())
            };
            let given = password.clone();
            if !self.hashing(move || password::matches(&given, &stored)).await? {
                tracing::warn!(user = req.name, "a wrong password");
                return Err(Refused::AuthFailed);
            }
            if let Provider::Jwt(jwt) = &member.login().provider {
                return jwt.sign(&req.name, auth_revision).ok_or(Refused::TokenNotSigned);
            }
            let command = pb::Authenticate { user: req.name.clone(), token: self.word(), auth_revision };
            match member.propose(Request::Authenticate(command)).await {
                Ok(Answer::Token(token)) => return Ok(token),
                Ok(_) => return Err(Refused::Stopped),
                // Something changed since the password was checked.
                Err(Refused::AuthOldRevision) => {}
                Err(refused) => return Err(refused),
            }
        }
        Err(Refused::AuthOldRevision)
    }

    /// The hash of a new password.
    pub async fn hashed(&self, password: String) -> Result<String, Refused> {
        let random = &self.member.env.random;
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&random.next().to_le_bytes());
        salt[8..].copy_from_slice(&random.next().to_le_bytes());
        let cost = self.member.login().bcrypt_cost;
        self.hashing(move || password::hash(&password, cost, salt)).await?.ok_or(Refused::PasswordNotTaken)
    }

    /// Runs what is slow by intent on a thread of its own, few at once.
    async fn hashing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
        let turn = self.member.login().hashing.acquire();
        let turn = tokio::time::timeout(HASHING_WAIT, turn).await.map_err(|_| Refused::TooManyRequests)?;
        let _turn = turn.map_err(|_| Refused::Stopped)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Refused::Stopped)
    }

    fn word(&self) -> String {
        let letter = |_| LETTERS[(self.member.env.random.next() % LETTERS.len() as u64) as usize] as char;
        (0..TOKEN_LEN).map(letter).collect()
    }
}

/// How long a password waits for its turn to be hashed.
const HASHING_WAIT: Duration = Duration::from_secs(5);
