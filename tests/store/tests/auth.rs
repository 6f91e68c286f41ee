//! Users and roles: etcdctl's commands beside Debian's etcd, and by gRPC what etcdctl does not show.

use anyhow::{Context, Result, ensure};
use daemon::tls::ClientIdentity;
use proto::authpb::permission::Type;
use proto::authpb::{Permission, UserAddOptions};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::watch_client::WatchClient;
use test_store::beside::{Etcd, said};
use test_store::{Member, Spec, connect, etcdctl, get, put, specs};
use testkit::pki::{Authority, Identity, Pki};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Hashing that does not take long.
const QUICK: &str = "--bcrypt-cost=4";

fn one(folder: &std::path::Path) -> Result<Spec> {
    let mut spec = specs(folder, 1)?.remove(0);
    spec.args.push(QUICK.to_owned());
    Ok(spec)
}

/// Commands, each with what it reads: those before users are on, then with --user.
const SETTING_UP: &[(&str, &str)] = &[
    ("user list", ""),
    ("role list", ""),
    ("user get root", ""),
    ("role get none", ""),
    ("auth enable", ""),
    ("--user root:root get a", ""),
    ("user add root:root", ""),
    ("user add root:again", ""),
    ("user add : ", ""),
    ("user add ann:ann", ""),
    ("user add --interactive=false bob", "bob\n"),
    ("user add --no-password cn", ""),
    ("role add some", ""),
    ("role add some", ""),
    ("role grant-permission some read a c", ""),
    ("role grant-permission some write b d", ""),
    ("role grant-permission some readwrite k", ""),
    ("role grant-permission some readwrite --prefix dir/", ""),
    ("role grant-permission some read --from-key y", ""),
    ("role grant-permission none read a", ""),
    ("role get some", ""),
    ("user grant-role ann some", ""),
    ("user grant-role ann some", ""),
    ("user grant-role ann none", ""),
    ("user grant-role none some", ""),
    ("user get ann", ""),
    ("user get --detail ann", ""),
    ("role revoke-permission some a z", ""),
    ("role revoke-permission none a", ""),
    ("user revoke-role bob some", ""),
    ("user revoke-role none some", ""),
    ("user delete none", ""),
    ("role delete none", ""),
    ("put x 1", ""),
    ("auth disable", ""),
    ("auth enable", ""),
];

const GUARDED: &[(&str, &str)] = &[
    ("get x", ""),
    ("put x 2", ""),
    ("user list", ""),
    ("auth disable", ""),
    ("auth enable", ""),
    ("--user root:wrong get x", ""),
    ("--user none:none get x", ""),
    ("--user cn:cn get x", ""),
    ("--user root:root get x", ""),
    ("--user root:root put a 1", ""),
    ("--user ann:ann get a", ""),
    ("--user ann:ann get a c", ""),
    ("--user ann:ann get a d", ""),
    ("--user ann:ann get x", ""),
    ("--user ann:ann get --from-key y", ""),
    ("--user ann:ann get --from-key x", ""),
    ("--user ann:ann get --prefix dir/", ""),
    ("--user ann:ann put a 2", ""),
    ("--user ann:ann put b 2", ""),
    ("--user ann:ann put --prev-kv b 3", ""),
    ("--user ann:ann put c 3", ""),
    ("--user ann:ann put --prev-kv c 4", ""),
    ("--user ann:ann put dir/1 1", ""),
    ("--user ann:ann del b d", ""),
    ("--user ann:ann del --prev-kv b d", ""),
    ("--user ann:ann del --from-key b", ""),
    ("--user ann:ann txn", "mod(\"b\") > \"0\"\n\nput b 1\n\nput k 1\n\n"),
    ("--user ann:ann txn", "mod(\"x\") > \"0\"\n\nput b 1\n\nput k 1\n\n"),
    ("--user ann:ann txn", "mod(\"b\") > \"0\"\n\nput x 1\n\nput k 1\n\n"),
    ("--user ann:ann txn", "mod(\"b\") > \"0\"\n\nput b 1\n\nget x\n\n"),
    ("--user ann:ann user list", ""),
    ("--user ann:ann role list", ""),
    ("--user ann:ann user get ann", ""),
    ("--user ann:ann user get bob", ""),
    ("--user ann:ann role get some", ""),
    ("--user ann:ann role get root", ""),
    ("--user ann:ann user add eve:eve", ""),
    ("--user ann:ann auth disable", ""),
    ("--user bob:bob get a", ""),
    ("--user root:root user delete root", ""),
    ("--user root:root user revoke-role root root", ""),
    ("--user root:root role delete root", ""),
    ("--user root:root user passwd --interactive=false ann", "new\n"),
    ("--user ann:ann get a", ""),
    ("--user ann:new get a", ""),
    ("--user root:root role revoke-permission some a c", ""),
    ("--user root:root role revoke-permission some a c", ""),
    ("--user ann:new get a", ""),
    ("--user ann:new get b", ""),
    ("--user root:root user revoke-role ann some", ""),
    ("--user ann:new put k 1", ""),
    ("--user root:root user grant-role ann root", ""),
    ("--user ann:new get x", ""),
    ("--user root:root role delete some", ""),
    ("--user root:root role list", ""),
    ("--user root:root user delete ann", ""),
    ("--user ann:new get a", ""),
    ("--user root:root user list", ""),
    ("--user root:root auth disable", ""),
    ("get x", ""),
    ("user get bob", ""),
];

#[tokio::test]
async fn etcdctl_says_the_same_of_users_and_roles_as_on_etcd() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&one(folder.path())?)?;
    let etcd = Etcd::start(&folder.path().join("etcd"), &[QUICK]).await?;
    member.ready().await?;
    for (line, input) in SETTING_UP.iter().chain(GUARDED) {
        let args: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let ours = said(&member.endpoint(), &args, input)?;
        let theirs = said(&etcd.endpoint(), &args, input)?;
        ensure!(ours == theirs, "etcdctl {line}\nours:   {ours}\netcd's: {theirs}");
    }
    // etcd 3.6 says what the root role may do; 3.4 does not.
    etcdctl(&member.endpoint(), &["role", "add", "root"]).ok();
    let root = etcdctl(&member.endpoint(), &["role", "get", "root"])?;
    ensure!(root.matches("<open ended>").count() == 2, "{root}");
    Ok(())
}

/// root, and ann with the role some, which may read and write k and read a..c; users are on.
async fn two_users(auth: &mut AuthClient<Channel>) -> Result<String> {
    let user = |name: &str| etcd::AuthUserAddRequest {
        name: name.to_owned(),
        password: name.to_owned(),
        ..Default::default()
    };
    auth.user_add(user("root")).await?;
    auth.user_add(user("ann")).await?;
    auth.role_add(etcd::AuthRoleAddRequest { name: "some".to_owned() }).await?;
    for (kind, key, end) in [(Type::Readwrite, "k", ""), (Type::Read, "a", "c")] {
        let perm = Permission { perm_type: kind as i32, key: key.into(), range_end: end.into() };
        let grant = etcd::AuthRoleGrantPermissionRequest { name: "some".to_owned(), perm: Some(perm) };
        auth.role_grant_permission(grant).await?;
    }
    for (user, role) in [("root", "root"), ("ann", "some")] {
        auth.user_grant_role(etcd::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() }).await?;
    }
    auth.auth_enable(etcd::AuthEnableRequest {}).await?;
    token(auth, "root").await
}

async fn token(auth: &mut AuthClient<Channel>, name: &str) -> Result<String> {
    let asked = etcd::AuthenticateRequest { name: name.to_owned(), password: name.to_owned() };
    Ok(auth.authenticate(asked).await?.into_inner().token)
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("token", token.parse().expect("a token is text"));
    request
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, text: &str) {
    let status = answer.expect_err(text);
    assert_eq!((status.code(), status.message()), (code, text));
}

#[tokio::test]
async fn a_token_ends_with_its_user_its_password_and_its_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut spec = one(folder.path())?;
    spec.args.push("--auth-token-ttl=2".to_owned());
    let member = Member::start(&spec)?;
    member.ready().await?;
    let channel = connect(spec.client).await?;
    let (mut auth, mut kv) = (AuthClient::new(channel.clone()), KvClient::new(channel));
    let root = two_users(&mut auth).await?;
    let invalid = "etcdserver: invalid auth token";
    let forged = with("abc.1", get("k"));
    refused(kv.range(forged).await, Code::Unauthenticated, invalid);
    refused(kv.range(with("forged", get("k"))).await, Code::Unauthenticated, invalid);
    refused(kv.range(with("abc.99999999999", get("k"))).await, Code::Unauthenticated, invalid);

    let ann = token(&mut auth, "ann").await?;
    kv.put(with(&ann, put("k", "1"))).await?;
    let change = etcd::AuthUserChangePasswordRequest {
        name: "ann".to_owned(),
        password: "ann".to_owned(),
        ..Default::default()
    };
    auth.user_change_password(with(&root, change)).await?;
    refused(kv.put(with(&ann, put("k", "2"))).await, Code::Unauthenticated, invalid);

    let ann = token(&mut auth, "ann").await?;
    auth.user_delete(with(&root, etcd::AuthUserDeleteRequest { name: "ann".to_owned() })).await?;
    refused(kv.put(with(&ann, put("k", "2"))).await, Code::Unauthenticated, invalid);

    // Each use makes it live on.
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
        kv.range(with(&root, get("k"))).await?;
    }
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
    refused(kv.range(with(&root, get("k"))).await, Code::Unauthenticated, invalid);
    Ok(())
}

#[tokio::test]
async fn leases_watches_and_nested_transactions_are_guarded() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = one(folder.path())?;
    let member = Member::start(&spec)?;
    member.ready().await?;
    let channel = connect(spec.client).await?;
    let (mut auth, mut kv) = (AuthClient::new(channel.clone()), KvClient::new(channel.clone()));
    let mut lease = LeaseClient::new(channel.clone());
    let root = two_users(&mut auth).await?;
    let ann = token(&mut auth, "ann").await?;
    let denied = "etcdserver: permission denied";

    // A lease with a key of others: ann neither hangs a key on it, nor renews or ends it, nor sees its keys.
    let grant = etcd::LeaseGrantRequest { ttl: 60, id: 7 };
    refused(lease.lease_grant(grant).await, Code::InvalidArgument, "etcdserver: user name is empty");
    lease.lease_grant(with(&root, grant)).await?;
    kv.put(with(&root, etcd::PutRequest { lease: 7, ..put("x", "1") })).await?;
    let hung = etcd::PutRequest { lease: 7, ..put("k", "1") };
    refused(kv.put(with(&ann, hung.clone())).await, Code::PermissionDenied, denied);
    let op = |request| etcd::RequestOp { request: Some(request) };
    let nested = |put| {
        use etcd::request_op::Request as Op;
        let inner = etcd::TxnRequest { success: vec![op(Op::RequestPut(put))], ..Default::default() };
        etcd::TxnRequest { failure: vec![op(Op::RequestTxn(inner))], ..Default::default() }
    };
    refused(kv.txn(with(&ann, nested(hung))).await, Code::PermissionDenied, denied);
    refused(kv.txn(with(&ann, nested(put("x", "1")))).await, Code::PermissionDenied, denied);
    kv.txn(with(&ann, nested(put("k", "1")))).await?;
    let revoke = etcd::LeaseRevokeRequest { id: 7 };
    refused(lease.lease_revoke(with(&ann, revoke)).await, Code::PermissionDenied, denied);
    let look = |keys| etcd::LeaseTimeToLiveRequest { id: 7, keys };
    refused(lease.lease_time_to_live(with(&ann, look(true))).await, Code::PermissionDenied, denied);
    ensure!(lease.lease_time_to_live(with(&ann, look(false))).await?.into_inner().granted_ttl == 60);
    refused(lease.lease_leases(with(&ann, etcd::LeaseLeasesRequest {})).await, Code::PermissionDenied, denied);
    let renew = |token: &str| with(token, tokio_stream::iter([etcd::LeaseKeepAliveRequest { id: 7 }]));
    let mut answers = lease.lease_keep_alive(renew(&ann)).await?.into_inner();
    refused(answers.message().await, Code::PermissionDenied, denied);
    let mut answers = lease.lease_keep_alive(renew(&root)).await?.into_inner();
    ensure!(answers.message().await?.context("an answer")?.ttl == 60);

    let mut watch = WatchClient::new(channel);
    let reason = |code: &str, text: &str| format!("rpc error: code = {code} desc = etcdserver: {text}");
    for (token, key, end, expect) in [
        (ann.as_str(), "a", "c", String::new()),
        (&ann, "a", "d", reason("PermissionDenied", "permission denied")),
        (&ann, "k", "\0", reason("PermissionDenied", "permission denied")),
        ("forged.1", "k", "", reason("Unauthenticated", "invalid auth token")),
        ("", "k", "", reason("InvalidArgument", "user name is empty")),
        (&root, "a", "\0", String::new()),
    ] {
        let create = etcd::WatchCreateRequest { key: key.into(), range_end: end.into(), ..Default::default() };
        let union = etcd::watch_request::RequestUnion::CreateRequest(create);
        let requests = tokio_stream::iter([etcd::WatchRequest { request_union: Some(union) }]);
        let request = if token.is_empty() { Request::new(requests) } else { with(token, requests) };
        let first = watch.watch(request).await?.into_inner().message().await?.context("an answer")?;
        ensure!(first.created && first.cancel_reason == expect, "{key:?} {end:?}: {first:?}");
        ensure!(first.canceled != expect.is_empty(), "{first:?}");
    }

    // What is not about keys.
    refused(
        kv.compact(with(&ann, etcd::CompactionRequest { revision: 2, physical: false })).await,
        Code::PermissionDenied,
        denied,
    );
    let status = auth.auth_status(with(&root, etcd::AuthStatusRequest {})).await?.into_inner();
    ensure!(status.enabled && status.auth_revision == 8, "{status:?}");
    refused(auth.auth_status(with(&ann, etcd::AuthStatusRequest {})).await, Code::PermissionDenied, denied);
    let mut cluster = proto::etcdserverpb::cluster_client::ClusterClient::new(connect(spec.client).await?);
    let list = etcd::MemberListRequest { linearizable: true };
    refused(cluster.member_list(list).await, Code::InvalidArgument, "etcdserver: user name is empty");
    cluster.member_list(with(&ann, list)).await?;
    let add = etcd::MemberAddRequest::default();
    refused(cluster.member_add(with(&ann, add)).await, Code::PermissionDenied, denied);
    let mut maintenance = proto::etcdserverpb::maintenance_client::MaintenanceClient::new(connect(spec.client).await?);
    refused(maintenance.snapshot(with(&ann, etcd::SnapshotRequest {})).await, Code::PermissionDenied, denied);
    let raise = etcd::AlarmRequest { action: 1, member_id: 0, alarm: 1 };
    refused(maintenance.alarm(with(&ann, raise)).await, Code::PermissionDenied, denied);
    maintenance.alarm(with(&ann, etcd::AlarmRequest::default())).await?;

    // A lease that runs out takes keys along that nobody asked it to.
    lease.lease_grant(with(&root, etcd::LeaseGrantRequest { ttl: 1, id: 8 })).await?;
    kv.put(with(&root, etcd::PutRequest { lease: 8, ..put("y", "1") })).await?;
    let start = std::time::Instant::now();
    while kv.range(with(&root, get("y"))).await?.into_inner().count > 0 {
        ensure!(start.elapsed().as_secs() < 20, "the lease does not end");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_of_one_member_is_good_on_every_member_and_users_outlive_restarts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut specs = specs(folder.path(), 3)?;
    // So few that the log is cut: users come back from checkpoints.
    specs.iter_mut().for_each(|spec| spec.args.extend([QUICK.to_owned(), "--snapshot-count=10".to_owned()]));
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let mut auth = AuthClient::new(connect(specs[0].client).await?);
    let root = two_users(&mut auth).await?;
    for round in 0..10 {
        let ann = token(&mut auth, "ann").await?;
        for spec in &specs {
            let mut kv = KvClient::new(connect(spec.client).await?);
            kv.put(with(&ann, put("k", &round.to_string()))).await?;
            kv.range(with(&root, get("x"))).await?;
            refused(kv.range(with(&ann, get("x"))).await, Code::PermissionDenied, "etcdserver: permission denied");
        }
    }
    for member in members.drain(..) {
        member.kill()?;
    }
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for (member, spec) in members.iter().zip(&specs) {
        let start = std::time::Instant::now();
        let mut auth = AuthClient::new(loop {
            if let Ok(channel) = connect(spec.client).await {
                break channel;
            }
            ensure!(start.elapsed().as_secs() < 20, "{}", member.log());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        });
        // The first requests may meet members that have no leader yet.
        let ann = loop {
            match token(&mut auth, "ann").await {
                Ok(token) => break token,
                Err(error) => ensure!(start.elapsed().as_secs() < 40, "{error}"),
            }
        };
        let mut kv = KvClient::new(connect(spec.client).await?);
        refused(kv.range(get("k")).await, Code::InvalidArgument, "etcdserver: user name is empty");
        ensure!(kv.range(with(&ann, get("k"))).await?.into_inner().kvs[0].value == "9");
        refused(kv.range(with(&ann, get("x"))).await, Code::PermissionDenied, "etcdserver: permission denied");
    }
    Ok(())
}

#[tokio::test]
async fn signed_tokens_outlive_a_restart_and_are_old_after_a_change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut spec = one(folder.path())?;
    let key = folder.path().join("key");
    std::fs::write(&key, "a secret of the members")?;
    spec.args.push(format!("--auth-token=jwt,sign-method=HS256,priv-key={},ttl=10m", key.display()));
    let member = Member::start(&spec)?;
    member.ready().await?;
    let mut auth = AuthClient::new(connect(spec.client).await?);
    let root = two_users(&mut auth).await?;
    let ann = token(&mut auth, "ann").await?;
    ensure!(ann.split('.').count() == 3, "{ann}");
    let spec = member.kill()?;
    let _member = Member::start(&spec)?;
    let start = std::time::Instant::now();
    let channel = loop {
        match connect(spec.client).await {
            Ok(channel) => break channel,
            Err(error) => ensure!(start.elapsed().as_secs() < 20, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let (mut auth, mut kv) = (AuthClient::new(channel.clone()), KvClient::new(channel));
    kv.put(with(&ann, put("k", "1"))).await?;
    let mut forged = ann.clone();
    forged.replace_range(ann.len() - 3.., "AAA");
    refused(kv.range(with(&forged, get("k"))).await, Code::Unauthenticated, "etcdserver: invalid auth token");
    auth.role_add(with(&root, etcd::AuthRoleAddRequest { name: "other".to_owned() })).await?;
    let old = "etcdserver: revision of auth store is old";
    refused(kv.range(with(&ann, get("k"))).await, Code::InvalidArgument, old);
    refused(kv.put(with(&ann, put("k", "2"))).await, Code::InvalidArgument, old);
    let ann = token(&mut auth, "ann").await?;
    kv.put(with(&ann, put("k", "2"))).await?;
    Ok(())
}

fn identity(name: &str, names: &[&str]) -> Identity {
    Identity {
        file: name.to_owned(),
        common_name: name.to_owned(),
        organization: None,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        authority: Authority::Store,
    }
}

#[tokio::test]
async fn the_name_in_a_client_certificate_is_a_user() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(folder.path().join("pki"));
    pki.ensure(&[
        identity("server", &["127.0.0.1"]),
        identity("root", &[]),
        identity("cn", &[]),
        identity("bob", &[]),
    ])?;
    let mut spec = one(folder.path())?;
    spec.scheme = "https";
    spec.cluster = spec.cluster.replace("http:", "https:");
    for prefix in ["", "peer-"] {
        spec.args.extend([
            format!("--{prefix}cert-file={}", pki.certificate("server").display()),
            format!("--{prefix}key-file={}", pki.key("server").display()),
            format!("--{prefix}trusted-ca-file={}", pki.authority(Authority::Store).display()),
            format!("--{prefix}client-cert-auth"),
        ]);
    }
    let member = Member::start(&spec)?;
    let channel = |name: &str| -> Result<Channel> {
        let pair = Some((pki.certificate(name), pki.key(name)));
        let identity = ClientIdentity::load(pki.authority(Authority::Store), pair)?;
        Ok(identity.channel(&format!("https://127.0.0.1:{}", spec.client), None)?)
    };
    let start = std::time::Instant::now();
    while let Err(status) = KvClient::new(channel("root")?).range(get("k")).await {
        ensure!(start.elapsed().as_secs() < 20, "{status}\n{}", member.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut auth = AuthClient::new(channel("root")?);
    let ann = {
        two_users(&mut auth).await?;
        token(&mut auth, "ann").await?
    };
    let options = Some(UserAddOptions { no_password: true });
    auth.user_add(etcd::AuthUserAddRequest { name: "cn".to_owned(), options, ..Default::default() }).await?;
    auth.user_grant_role(etcd::AuthUserGrantRoleRequest { user: "cn".to_owned(), role: "some".to_owned() }).await?;
    let denied = "etcdserver: permission denied";
    let mut cn = KvClient::new(channel("cn")?);
    cn.put(put("k", "1")).await?;
    refused(cn.put(put("x", "1")).await, Code::PermissionDenied, denied);
    refused(KvClient::new(channel("bob")?).put(put("k", "1")).await, Code::PermissionDenied, denied);
    // A token counts more than a certificate.
    refused(KvClient::new(channel("root")?).put(with(&ann, put("x", "1"))).await, Code::PermissionDenied, denied);
    KvClient::new(channel("root")?).put(put("x", "1")).await?;
    Ok(())
}

#[tokio::test]
async fn a_backup_keeps_users_and_roles_and_that_they_are_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spec = one(folder.path())?;
    let member = Member::start(&spec)?;
    member.ready().await?;
    two_users(&mut AuthClient::new(connect(spec.client).await?)).await?;
    let file = folder.path().join("backup.db").display().to_string();
    let refused_save = etcdctl(&member.endpoint(), &["--user", "ann:ann", "snapshot", "save", &file]);
    ensure!(refused_save.is_err(), "a backup shows everything");
    etcdctl(&member.endpoint(), &["--user", "root:root", "snapshot", "save", &file])?;
    let mut back = one(&folder.path().join("back"))?;
    back.name = "default".to_owned();
    back.cluster = format!("default=http://127.0.0.1:{}", back.peer);
    let data = back.data_dir().display().to_string();
    let restored = std::process::Command::new(test_store::binary()?)
        .args(["snapshot", "restore", &file, "--data-dir", &data, "--name", "default"])
        .args(["--initial-cluster", &back.cluster])
        .args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{}", back.peer)])
        .output()?;
    ensure!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let again = Member::start(&back)?;
    let start = std::time::Instant::now();
    let channel = loop {
        match connect(back.client).await {
            Ok(channel) => break channel,
            Err(error) => ensure!(start.elapsed().as_secs() < 20, "{error}\n{}", again.log()),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let (mut auth, mut kv) = (AuthClient::new(channel.clone()), KvClient::new(channel));
    refused(kv.range(get("k")).await, Code::InvalidArgument, "etcdserver: user name is empty");
    let ann = token(&mut auth, "ann").await?;
    kv.put(with(&ann, put("k", "1"))).await?;
    refused(kv.put(with(&ann, put("x", "1"))).await, Code::PermissionDenied, "etcdserver: permission denied");
    Ok(())
}
