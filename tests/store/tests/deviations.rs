//! docs/store-deviations.md, shown: what cannot be asked among random requests, because what follows would differ, or because
//! it ends an older etcd; and that the document names every deviation that the tests know, and no other.

use std::path::Path;

use anyhow::{Result, ensure};
use proto::authpb::Permission;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::watch_request::RequestUnion;
use test_store::beside::answer::Answer;
use test_store::beside::case::{AuthCase, Case, Whose};
use test_store::beside::excuse;
use test_store::beside::server::Server;
use test_store::beside::trio::{self, Trio};
use test_store::beside::watched::Got;
use test_store::{get, put, real};

const NOSPACE: i32 = etcd::AlarmType::Nospace as i32;
/// Beyond what every stream needs.
const STREAM: usize = 0;

fn kept() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn told(answer: &Answer) -> String {
    answer.refusal().unwrap_or("OK").to_owned()
}

async fn tell(server: &mut Server, cases: &[Case]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for case in cases {
        all.push(told(&server.ask(case).await?));
    }
    Ok(all)
}

fn create(watch_id: i64, start_revision: i64) -> Case {
    let create = etcd::WatchCreateRequest { key: "w".into(), watch_id, start_revision, ..Default::default() };
    Case::Watch { stream: STREAM, create }
}

/// A deletion at the very point of a compaction, and then a put: what a watcher from there on gets.
async fn deletion_at_the_point(server: &mut Server) -> Result<Vec<String>> {
    server.ask(&Case::Put(put("w", "1"))).await?;
    let delete = etcd::DeleteRangeRequest { key: "w".into(), ..Default::default() };
    let Answer::DeleteRange(rsp) = server.ask(&Case::DeleteRange(delete)).await? else { anyhow::bail!("no deletion") };
    let revision = rsp.header.map_or(0, |header| header.revision);
    server.ask(&Case::Compact(etcd::CompactionRequest { revision, physical: true })).await?;
    server.ask(&Case::Put(put("w", "2"))).await?;
    server.ask(&create(70, revision)).await?;
    let is_put = |got: &Got| matches!(got, Got::Event(event) if event.r#type == 0);
    let inbox = server.streams[STREAM].take(|inbox| inbox.get(&70).is_some_and(|got| got.iter().any(is_put))).await?;
    Ok(inbox[&70].iter().map(|got| if is_put(got) { "put" } else { "deletion" }.to_owned()).collect())
}

/// A request for progress while a watcher waits, then one that is answered in any case.
async fn progress_while_one_waits(server: &mut Server) -> Result<Vec<String>> {
    server.ask(&create(80, 1_000_000)).await?;
    server.streams[STREAM].send(RequestUnion::ProgressRequest(etcd::WatchProgressRequest {})).await?;
    let cancel = RequestUnion::CancelRequest(etcd::WatchCancelRequest { watch_id: 80 });
    let first = server.streams[STREAM].ask(cancel).await?;
    Ok(vec![if first.canceled { "nothing" } else { "progress" }.to_owned()])
}

fn nested_put() -> Case {
    let op = |request| etcd::RequestOp { request: Some(request) };
    let inner = etcd::TxnRequest { success: vec![op(Request::RequestPut(put("n", "1")))], ..Default::default() };
    Case::Txn(etcd::TxnRequest { success: vec![op(Request::RequestTxn(inner))], ..Default::default() })
}

fn alarm(action: AlarmAction) -> Case {
    Case::Alarm { action, alarm: NOSPACE, member: Whose::Own }
}

async fn learner_with_a_new_url(server: &mut Server) -> Result<Vec<String>> {
    server.ask(&Case::MemberAdd { urls: vec!["http://127.9.9.1:1".to_owned()] }).await?;
    let member = Whose::Learner(0);
    let urls = vec!["http://127.9.9.2:1".to_owned()];
    let Answer::MemberUpdate(rsp) = server.ask(&Case::MemberUpdate { member, urls }).await? else {
        anyhow::bail!("no update")
    };
    server.ask(&Case::MemberRemove { member }).await?;
    Ok(rsp.members.iter().map(|member| format!("{} learner {}", member.id, member.is_learner)).collect())
}

/// A permission on keys from b to a.
fn permission_on_nothing() -> [Case; 2] {
    let perm = Some(Permission { key: b"b".into(), range_end: b"a".into(), ..Default::default() });
    let grant = etcd::AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm };
    let add = etcd::AuthRoleAddRequest { name: "r".to_owned() };
    [Case::Auth(AuthCase::RoleAdd(add)), Case::Auth(AuthCase::RoleGrantPermission(grant))]
}

async fn show(name: &'static str, server: &mut Server) -> Result<Vec<String>> {
    match name {
        "a compaction to revision 0 is one" => {
            let compact = Case::Compact(etcd::CompactionRequest { revision: 0, physical: false });
            tell(server, &[compact.clone(), compact]).await
        }
        "a deletion at the point of compaction is lost to watchers" => deletion_at_the_point(server).await,
        "a watch may begin before the beginning" => tell(server, &[create(90, -1)]).await,
        "progress is told while a watcher waits for a later revision" => progress_while_one_waits(server).await,
        "nested puts pass an alarm" => {
            tell(server, &[alarm(AlarmAction::Activate), nested_put(), alarm(AlarmAction::Deactivate)]).await
        }
        "a learner whose peer URLs change is none any more" => learner_with_a_new_url(server).await,
        "permissions on ranges that hold no key are taken" => tell(server, &permission_on_nothing()).await,
        _ => {
            let urls = vec!["not a url".to_owned()];
            tell(server, &[Case::MemberUpdate { member: Whose::Own, urls }]).await
        }
    }
}

/// In an order in which none disturbs the next.
const SHOWN: &[(&str, &[&str], &[&str])] = &[
    ("a compaction to revision 0 is one", &[COMPACTED, COMPACTED], &["OK", COMPACTED]),
    ("a deletion at the point of compaction is lost to watchers", &["deletion", "put"], &["put"]),
    ("a watch may begin before the beginning", &[COMPACTED], &["OK"]),
    ("progress is told while a watcher waits for a later revision", &["nothing"], &["progress"]),
    ("nested puts pass an alarm", &["OK", "etcdserver: mvcc: database space exceeded", "OK"], &["OK", "OK", "OK"]),
    (
        "a learner whose peer URLs change is none any more",
        &["1 learner false", "100 learner true"],
        &["1 learner false", "100 learner false"],
    ),
    ("permissions on ranges that hold no key are taken", &["OK", "etcdserver: invalid auth management"], &["OK", "OK"]),
    (
        "a member's peer URLs are not looked at when they are changed",
        &["etcdserver: given member URLs are invalid"],
        &["OK"],
    ),
];
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

#[tokio::test]
async fn older_etcds_do_what_the_table_says() -> Result<()> {
    let folder = trio::folder()?;
    let mut trio = Trio::start(folder.path(), kept()).await?;
    for (name, ours, theirs) in SHOWN {
        let told = show(name, &mut trio.ours).await?;
        ensure!(told == *ours, "{name}: ours: {told:?}");
        for peer in &mut trio.peers {
            let told = show(name, &mut peer.server).await?;
            ensure!(told == *theirs, "{name}: {}: {told:?}", peer.server.name);
        }
    }
    Ok(())
}

/// Requests at which an older etcd ends.
fn deadly() -> [(&'static str, Case); 3] {
    let range = etcd::RangeRequest { sort_target: 7, sort_order: 1, ..get("a") };
    let grant = etcd::AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm: None };
    [
        ("an unknown sort target ends the server", Case::Range(range)),
        (
            "an alarm of no kind is raised, or ends the server",
            Case::Alarm { action: AlarmAction::Activate, alarm: 0, member: Whose::Id(0) },
        ),
        ("a permission that is not given ends the server", Case::Auth(AuthCase::RoleGrantPermission(grant))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_etcds_end_where_the_table_says() -> Result<()> {
    let folder = trio::folder()?;
    let distro = real::Release::distro(kept())?;
    let mut running = tokio::task::JoinSet::new();
    for (at, (name, case)) in deadly().into_iter().enumerate() {
        let ends = excuse::ALL.iter().find(|deviation| deviation.name == name).map_or(&[][..], |found| found.of);
        ensure!(!ends.is_empty(), "{name} is not known");
        for release in ends.iter().copied() {
            let (folder, distro, case) = (folder.path().join(format!("{at}{release:?}")), distro.clone(), case.clone());
            running.spawn(async move {
                std::fs::create_dir_all(&folder)?;
                let etcd = trio::etcd(release, &distro, &folder).await?;
                let mut server = Server::connect("etcd", etcd.client, 0).await?;
                server.ask(&Case::Auth(AuthCase::RoleAdd(etcd::AuthRoleAddRequest { name: "r".to_owned() }))).await?;
                let answer = server.ask(&case).await?;
                ensure!(server.is_gone(&answer), "{name}: {release:?} says {answer:?}");
                Ok(())
            });
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

#[test]
fn the_document_names_every_deviation_and_no_other() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/store-deviations.md");
    let text = std::fs::read_to_string(&path)?;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let mut told: Vec<&str> = rows.filter(|row| !row.starts_with("an older etcd")).collect();
    let deadly = deadly().map(|(name, _)| name);
    let known = excuse::ALL.iter().map(|deviation| deviation.name);
    let mut known: Vec<&str> = known.chain(SHOWN.iter().map(|shown| shown.0)).chain(deadly).collect();
    for names in [&mut told, &mut known] {
        names.sort_unstable();
        names.dedup();
    }
    ensure!(told == known, "docs/store-deviations.md has {told:#?}\nthe tests have {known:#?}");
    Ok(())
}
