//! Debian's etcdctl works on the store.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::kv_client::KvClient;
use test_store::{Member, etcdctl, specs};

#[track_caller]
fn check(endpoint: &str, args: &[&str], expect: &str) {
    let found = etcdctl(endpoint, args).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found, expect, "etcdctl {args:?}");
}

#[track_caller]
fn refused(endpoint: &str, args: &[&str], text: &str) {
    let error = etcdctl(endpoint, args).expect_err("refused").to_string();
    assert!(error.contains(text), "etcdctl {args:?}: {error}");
}

fn piped(endpoint: &str, args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("etcdctl does not start; install it: apt-get install etcd-client")?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "etcdctl {args:?} failed");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn etcdctl_reads_writes_watches_leases_and_compacts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let member = Member::start(&specs(folder.path(), 1)?[0])?;
    member.ready().await?;
    let at = member.endpoint();
    let at = at.as_str();

    for (key, value) in [("fruit/apple", "3"), ("fruit/pear", "1"), ("fruit/plum", "2"), ("nut", "9")] {
        check(at, &["put", key, value], "OK\n");
    }
    check(at, &["get", "nut"], "nut\n9\n");
    check(at, &["get", "none"], "");
    check(at, &["get", "--prefix", "fruit/"], "fruit/apple\n3\nfruit/pear\n1\nfruit/plum\n2\n");
    check(at, &["get", "--print-value-only", "fruit/apple", "fruit/plum"], "3\n1\n");
    check(at, &["get", "--from-key", "fruit/plum", "--keys-only"], "fruit/plum\n\nnut\n\n");
    check(at, &["get", "--prefix", "fruit/", "--limit", "2", "--print-value-only"], "3\n1\n");
    check(
        at,
        &["get", "--prefix", "fruit/", "--sort-by", "VALUE", "--order", "DESCEND", "--print-value-only"],
        "3\n2\n1\n",
    );
    check(
        at,
        &["get", "--prefix", "fruit/", "--sort-by", "CREATE", "--order", "DESCEND", "--print-value-only"],
        "2\n1\n3\n",
    );
    // Debian's etcdctl 3.4 has no --count-only yet: the same request by hand.
    let mut kv = KvClient::new(test_store::connect(member.spec.client).await?);
    let counted = etcd::RangeRequest { range_end: "fruit0".into(), count_only: true, ..test_store::get("fruit/") };
    let counted = kv.range(counted).await?.into_inner();
    assert_eq!((counted.count, counted.kvs.len()), (3, 0));

    check(at, &["put", "nut", "10", "--prev-kv"], "OK\nnut\n9\n");
    check(at, &["get", "nut", "--rev", "5", "--print-value-only"], "9\n");
    refused(at, &["get", "nut", "--rev", "99"], "etcdserver: mvcc: required revision is a future revision");

    let txn = "mod(\"nut\") = \"6\"\nvalue(\"fruit/pear\") < \"5\"\n\nput nut 11\nget fruit/apple\n\nput nut 12\n\n";
    let done = piped(at, &["txn"], txn)?;
    assert!(done.starts_with("SUCCESS\n\nOK\n\nfruit/apple\n3\n"), "{done}");
    let done = piped(at, &["txn"], txn)?;
    assert!(done.starts_with("FAILURE\n\nOK\n"), "{done}");
    check(at, &["get", "nut", "--print-value-only"], "12\n");

    check(at, &["del", "--prefix", "fruit/p", "--prev-kv"], "2\nfruit/pear\n1\nfruit/plum\n2\n");
    check(at, &["del", "none"], "0\n");

    let lease = etcdctl(at, &["lease", "grant", "100"])?;
    let id = lease.split_whitespace().nth(1).context("a lease id")?.to_owned();
    assert_eq!(lease, format!("lease {id} granted with TTL(100s)\n"));
    check(at, &["put", "--lease", &id, "held", "by lease"], "OK\n");
    let left = etcdctl(at, &["lease", "timetolive", "--keys", &id])?;
    assert!(left.contains("granted with TTL(100s), remaining(") && left.contains("attached keys([held])"), "{left}");
    check(at, &["lease", "list"], &format!("found 1 leases\n{id}\n"));
    check(at, &["lease", "keep-alive", "--once", &id], &format!("lease {id} keepalived with TTL(100)\n"));
    check(at, &["lease", "revoke", &id], &format!("lease {id} revoked\n"));
    check(at, &["get", "held"], "");
    refused(at, &["put", "--lease", &id, "held", "again"], "etcdserver: requested lease not found");

    let mut watch = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", at, "watch", "--prefix", "--prev-kv", "--rev", "6", "nut"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    check(at, &["put", "nuts", "many"], "OK\n");
    let expect = "PUT\nnut\n9\nnut\n10\nPUT\nnut\n10\nnut\n11\nPUT\nnut\n11\nnut\n12\nPUT\nnuts\nmany\n";
    let found = read_text(watch.stdout.take().context("a pipe")?, expect.len())?;
    watch.kill()?;
    watch.wait()?;
    // etcdctl prints an empty line for a previous pair that is not there.
    assert_eq!(found.replace("PUT\n\n\n", "PUT\n").trim_end(), expect.trim_end());

    let revision = 8;
    check(at, &["compaction", &revision.to_string()], "compacted revision 8\n");
    check(at, &["get", "nut", "--rev", "8", "--print-value-only"], "12\n");
    refused(at, &["get", "nut", "--rev", "7"], "etcdserver: mvcc: required revision has been compacted");
    refused(at, &["compaction", "8"], "etcdserver: mvcc: required revision has been compacted");

    let status = etcdctl(at, &["endpoint", "status", "--write-out", "fields"])?;
    assert!(status.contains("\"Version\" : \"3.6") && status.contains("\"IsLearner\" : false"), "{status}");
    let members = etcdctl(at, &["member", "list"])?;
    assert!(members.contains("started, m0, http://127.0.0.1:"), "{members}");
    etcdctl(at, &["endpoint", "health"])?;
    check(at, &["alarm", "list"], "");
    Ok(())
}

fn read_text(mut pipe: impl std::io::Read, len: usize) -> Result<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while text.len() < len {
        let read = pipe.read(&mut buffer)?;
        ensure!(read > 0, "the watch ended early: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..read]);
    }
    Ok(String::from_utf8(text)?)
}
