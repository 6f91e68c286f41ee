//! Users and roles as commands change them, and who may do what then.

use bytes::Bytes;
use proto::authpb::permission::Type;
use proto::authpb::{Permission, UserAddOptions};
use proto::etcdserverpb as etcd;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::auth_command::Request as Change;
use proto::keelson::raft::v1::command::Request;

use super::Auth;
use super::tokens::TokenChange;
use crate::lease::Lessor;
use crate::refused::Refused;

fn run(auth: &mut Auth, change: Change) -> Result<Vec<TokenChange>, Refused> {
    let plan = auth.plan(&change)?;
    plan.changes.into_iter().for_each(|change| auth.take(change));
    Ok(plan.tokens)
}

fn add_user(name: &str) -> Change {
    Change::UserAdd(etcd::AuthUserAddRequest { name: name.to_owned(), ..Default::default() })
}

fn add_role(name: &str) -> Change {
    Change::RoleAdd(etcd::AuthRoleAddRequest { name: name.to_owned() })
}

fn grant(user: &str, role: &str) -> Change {
    Change::UserGrantRole(etcd::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() })
}

fn permit(role: &str, kind: Type, key: &str, end: &str) -> Change {
    let perm = Permission { perm_type: kind as i32, key: key.into(), range_end: end.into() };
    Change::RoleGrantPermission(etcd::AuthRoleGrantPermissionRequest { name: role.to_owned(), perm: Some(perm) })
}

fn enable() -> Change {
    Change::Enable(etcd::AuthEnableRequest {})
}

/// root, and ann, who may read a..c, write b..d, and do both with k.
fn two_users() -> Auth {
    let mut auth = Auth::default();
    for change in [
        add_user("root"),
        grant("root", "root"),
        add_user("ann"),
        add_role("some"),
        grant("ann", "some"),
        permit("some", Type::Read, "a", "c"),
        permit("some", Type::Write, "b", "d"),
        permit("some", Type::Readwrite, "k", ""),
        enable(),
    ] {
        run(&mut auth, change).expect("taken");
    }
    auth
}

fn who(auth: &Auth, user: &str) -> pb::Caller {
    pb::Caller { user: user.to_owned(), auth_revision: auth.revision(), store: false }
}

fn key(key: &str) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

fn put(at: &str, lease: i64, prev_kv: bool) -> etcd::PutRequest {
    etcd::PutRequest { key: key(at), lease, prev_kv, ..Default::default() }
}

fn delete(at: &str, end: &str, prev_kv: bool) -> Request {
    Request::DeleteRange(etcd::DeleteRangeRequest { key: key(at), range_end: key(end), prev_kv })
}

#[track_caller]
fn check(auth: &Auth, user: &str, request: &Request, expect: Result<(), Refused>) {
    assert_eq!(auth.check(&Lessor::default(), Some(&who(auth, user)), request), expect, "{user}: {request:?}");
}

#[test]
fn users_are_turned_on_with_a_root_user_that_has_the_root_role() {
    let mut auth = Auth::default();
    assert_eq!(run(&mut auth, enable()), Err(Refused::RootUserNotExist));
    run(&mut auth, add_user("root")).expect("taken");
    assert_eq!(run(&mut auth, enable()), Err(Refused::RootRoleNotExist));
    run(&mut auth, grant("root", "root")).expect("the role need not be there");
    let before = auth.revision();
    run(&mut auth, enable()).expect("taken");
    assert!(auth.enabled() && auth.revision() == before, "turning on is no change of users");
    let disable = Change::Disable(etcd::AuthDisableRequest {});
    assert_eq!(run(&mut auth, disable.clone()), Ok(vec![TokenChange::ForgetAll]));
    assert_eq!(auth.revision(), before + 1);
    assert_eq!((run(&mut auth, disable), auth.revision()), (Ok(vec![]), before + 1));
}

#[test]
fn root_stays_while_users_are_on() {
    let mut auth = two_users();
    let delete = |name: &str| Change::UserDelete(etcd::AuthUserDeleteRequest { name: name.to_owned() });
    let root = "root".to_owned();
    let revoke = etcd::AuthUserRevokeRoleRequest { name: root.clone(), role: root.clone() };
    assert_eq!(run(&mut auth, delete("root")), Err(Refused::InvalidAuthManagement));
    assert_eq!(run(&mut auth, Change::UserRevokeRole(revoke)), Err(Refused::InvalidAuthManagement));
    let role = Change::RoleDelete(etcd::AuthRoleDeleteRequest { role: root });
    assert_eq!(run(&mut auth, role), Err(Refused::InvalidAuthManagement));
    assert_eq!(run(&mut auth, delete("ann")), Ok(vec![TokenChange::Forget("ann".to_owned())]));
    assert_eq!(run(&mut auth, delete("ann")), Err(Refused::UserNotFound));
}

#[test]
fn names_are_given_once_and_not_empty() {
    let mut auth = two_users();
    assert_eq!(run(&mut auth, add_user("")), Err(Refused::UserEmpty));
    assert_eq!(run(&mut auth, add_user("ann")), Err(Refused::UserAlreadyExists));
    assert_eq!(run(&mut auth, add_role("")), Err(Refused::RoleEmpty));
    assert_eq!(run(&mut auth, add_role("some")), Err(Refused::RoleAlreadyExists));
    assert_eq!(run(&mut auth, grant("bob", "some")), Err(Refused::UserNotFound));
    assert_eq!(run(&mut auth, grant("ann", "none")), Err(Refused::RoleNotFound));
    assert_eq!(run(&mut auth, permit("none", Type::Read, "a", "")), Err(Refused::RoleNotFound));
    assert_eq!(run(&mut auth, permit("some", Type::Read, "b", "a")), Err(Refused::InvalidAuthManagement));
    assert_eq!(run(&mut auth, permit("some", Type::Read, "", "a")), Err(Refused::InvalidAuthManagement));
    let before = auth.revision();
    run(&mut auth, grant("ann", "some")).expect("had already");
    assert_eq!(auth.revision(), before, "nothing changed");
}

#[test]
fn a_permission_is_replaced_by_the_same_range_and_revoked_by_it() {
    let mut auth = two_users();
    run(&mut auth, permit("some", Type::Write, "a", "c")).expect("taken");
    assert_eq!(auth.role("some").expect("a role").key_permission.len(), 3);
    assert_eq!(auth.check_range(Some(&who(&auth, "ann")), b"a", b"c"), Err(Refused::PermissionDenied));
    let revoke = |end: &str| {
        Change::RoleRevokePermission(etcd::AuthRoleRevokePermissionRequest {
            role: "some".to_owned(),
            key: key("a"),
            range_end: key(end),
        })
    };
    assert_eq!(run(&mut auth, revoke("b")), Err(Refused::PermissionNotGranted));
    run(&mut auth, revoke("c")).expect("taken");
    assert_eq!(auth.role("some").expect("a role").key_permission.len(), 2);
}

#[test]
fn a_role_that_goes_takes_its_permissions_and_tokens_along() {
    let mut auth = two_users();
    let gone = Change::RoleDelete(etcd::AuthRoleDeleteRequest { role: "some".to_owned() });
    assert_eq!(run(&mut auth, gone), Ok(vec![TokenChange::Forget("ann".to_owned())]));
    assert!(auth.user("ann").expect("a user").roles.is_empty());
    assert_eq!(auth.check_range(Some(&who(&auth, "ann")), b"k", b""), Err(Refused::PermissionDenied));
}

#[test]
fn reading_and_writing_are_permitted_each_for_itself() {
    let auth = two_users();
    let ann = who(&auth, "ann");
    assert_eq!(auth.check_range(Some(&ann), b"a", b"c"), Ok(()));
    assert_eq!(auth.check_range(Some(&ann), b"a", b"d"), Err(Refused::PermissionDenied));
    assert_eq!(auth.check_range(Some(&ann), b"k", b"\0"), Err(Refused::PermissionDenied), "everything from k on");
    check(&auth, "ann", &Request::Put(put("c", 0, false)), Ok(()));
    check(&auth, "ann", &Request::Put(put("c", 0, true)), Err(Refused::PermissionDenied));
    check(&auth, "ann", &Request::Put(put("b", 0, true)), Ok(()));
    check(&auth, "ann", &delete("b", "d", false), Ok(()));
    check(&auth, "ann", &delete("b", "d", true), Err(Refused::PermissionDenied));
    check(&auth, "ann", &delete("b", "\0", false), Err(Refused::PermissionDenied));
    check(&auth, "root", &delete("b", "\0", true), Ok(()));
    check(&auth, "bob", &Request::Put(put("k", 0, false)), Err(Refused::PermissionDenied));
}

#[test]
fn a_transaction_needs_leave_for_both_branches_and_what_is_nested() {
    use etcd::request_op::Request as Op;
    let auth = two_users();
    let op = |request| etcd::RequestOp { request: Some(request) };
    let write = |at: &str, prev_kv| op(Op::RequestPut(put(at, 0, prev_kv)));
    let nested = |ops| op(Op::RequestTxn(etcd::TxnRequest { failure: ops, ..Default::default() }));
    let compare = |at: &str| etcd::Compare { key: key(at), ..Default::default() };
    let txn = |compares: &[&str], success, failure| {
        let compare = compares.iter().map(|at| compare(at)).collect();
        Request::Txn(etcd::TxnRequest { compare, success, failure })
    };
    let denied = Err(Refused::PermissionDenied);
    check(&auth, "ann", &txn(&["a"], vec![write("b", true)], vec![write("k", false)]), Ok(()));
    check(&auth, "ann", &txn(&["d"], vec![], vec![]), denied);
    check(&auth, "ann", &txn(&[], vec![], vec![write("x", false)]), denied);
    check(&auth, "ann", &txn(&[], vec![write("c", true)], vec![]), denied);
    check(&auth, "ann", &txn(&[], vec![nested(vec![write("k", false)])], vec![]), Ok(()));
    check(&auth, "ann", &txn(&[], vec![nested(vec![nested(vec![write("x", false)])])], vec![]), denied);
}

#[test]
fn a_lease_is_its_keys() {
    let auth = two_users();
    let mut lessor = Lessor::default();
    lessor.grant(1, 60).expect("a lease");
    lessor.grant(2, 60).expect("a lease");
    lessor.attach(b"k", 1);
    lessor.attach(b"x", 2);
    let ann = who(&auth, "ann");
    let revoke = |id| Request::LeaseRevoke(etcd::LeaseRevokeRequest { id });
    assert_eq!(auth.check(&lessor, Some(&ann), &revoke(1)), Ok(()));
    assert_eq!(auth.check(&lessor, Some(&ann), &revoke(2)), Err(Refused::PermissionDenied));
    assert_eq!(auth.check(&lessor, Some(&ann), &Request::Put(put("k", 2, false))), Err(Refused::PermissionDenied));
    assert_eq!(auth.check(&lessor, Some(&ann), &Request::Put(put("k", 1, false))), Ok(()));
    assert_eq!(auth.check(&lessor, None, &revoke(1)), Err(Refused::UserEmpty));
    assert_eq!(auth.check(&lessor, Some(&crate::ask::store()), &revoke(2)), Ok(()), "a lease that ran out");
    let grant = Request::LeaseGrant(etcd::LeaseGrantRequest { ttl: 5, id: 3 });
    assert_eq!(auth.check(&lessor, None, &grant), Err(Refused::UserEmpty));
    assert_eq!(auth.check(&lessor, Some(&ann), &grant), Ok(()));
}

#[test]
fn what_concerns_all_keys_is_for_root() {
    let auth = two_users();
    let compact = Request::Compact(etcd::CompactionRequest { revision: 1, physical: false });
    let raise = Request::Alarm(etcd::AlarmRequest { action: 1, member_id: 0, alarm: 1 });
    let change = Request::Auth(pb::AuthCommand { request: Some(enable()) });
    for request in [&compact, &raise, &change] {
        check(&auth, "ann", request, Err(Refused::PermissionDenied));
        check(&auth, "root", request, Ok(()));
        assert_eq!(auth.check(&Lessor::default(), None, request), Err(Refused::UserEmpty));
    }
}

#[test]
fn a_caller_known_before_a_change_must_be_looked_at_again() {
    let mut auth = two_users();
    let ann = who(&auth, "ann");
    run(&mut auth, add_user("bob")).expect("taken");
    assert_eq!(auth.check_range(Some(&ann), b"k", b""), Err(Refused::AuthOldRevision));
    assert_eq!(auth.check_range(Some(&who(&auth, "ann")), b"k", b""), Ok(()));
    let asked = pb::Authenticate { user: "ann".to_owned(), token: "w".to_owned(), auth_revision: ann.auth_revision };
    assert_eq!(auth.plan_token(&asked, 9), Err(Refused::AuthOldRevision));
    let asked = pb::Authenticate { auth_revision: auth.revision(), ..asked };
    assert_eq!(auth.plan_token(&asked, 9), Ok("w.9".to_owned()));
}

#[test]
fn a_user_without_password_cannot_have_a_token_by_one() {
    let mut auth = two_users();
    let options = Some(UserAddOptions { no_password: true });
    let add = etcd::AuthUserAddRequest { name: "cn".to_owned(), options, ..Default::default() };
    run(&mut auth, Change::UserAdd(add)).expect("taken");
    assert_eq!(auth.with_password("cn").expect_err("refused"), Refused::NoPasswordUser);
    assert_eq!(auth.with_password("none").expect_err("refused"), Refused::AuthFailed);
}

#[test]
fn a_checkpoint_keeps_users_roles_and_who_may_what() {
    let auth = two_users();
    let back = Auth::from_wire(Some(auth.to_wire()));
    assert_eq!(back.to_wire(), auth.to_wire());
    assert_eq!(back.check_range(Some(&who(&back, "ann")), b"a", b"c"), Ok(()));
    assert_eq!(back.check_range(Some(&who(&back, "ann")), b"d", b""), Err(Refused::PermissionDenied));
    let fresh = Auth::from_wire(None);
    assert_eq!((fresh.enabled(), fresh.revision()), (false, 1));
}
