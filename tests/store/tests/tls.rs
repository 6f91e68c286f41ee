//! TLS on both ports: with a trusted CA, callers without a certificate of it are refused, as by etcd.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use daemon::tls::ClientIdentity;
use proto::etcdserverpb::kv_client::KvClient;
use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::raft_client::RaftClient;
use test_store::{Member, get, specs};
use testkit::pki::{Authority, Identity, Pki};

fn identity(file: &str, names: &[&str]) -> Identity {
    Identity {
        file: file.to_owned(),
        common_name: file.to_owned(),
        organization: None,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        authority: Authority::Store,
    }
}

#[tokio::test]
async fn a_trusted_ca_alone_keeps_strangers_out_of_both_ports() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = |name: &str| -> Result<Pki> {
        let pki = Pki::new(folder.path().join(name));
        pki.ensure(&[identity("server", &["127.0.0.1", "localhost"]), identity("client", &[])])?;
        Ok(pki)
    };
    let (ours, foreign) = (pki("ours")?, pki("foreign")?);
    let mut spec = specs(folder.path(), 1)?.remove(0);
    spec.scheme = "https";
    spec.cluster = spec.cluster.replace("http:", "https:");
    let file = |path: std::path::PathBuf| path.display().to_string();
    let ca = file(ours.authority(Authority::Store));
    for prefix in ["", "peer-"] {
        // No --client-cert-auth: the CA is enough.
        spec.args.extend([
            format!("--{prefix}cert-file={}", file(ours.certificate("server"))),
            format!("--{prefix}key-file={}", file(ours.key("server"))),
            format!("--{prefix}trusted-ca-file={ca}"),
        ]);
    }
    let member = Member::start(&spec)?;
    let trusted = ours.authority(Authority::Store);
    let pair = |pki: &Pki| Some((pki.certificate("client"), pki.key("client")));
    let client = format!("https://127.0.0.1:{}", spec.client);
    let peer = format!("https://127.0.0.1:{}", spec.peer);

    let known = ClientIdentity::load(&trusted, pair(&ours))?;
    let start = std::time::Instant::now();
    loop {
        match KvClient::new(known.channel(&client, None)?).range(get("k")).await {
            Ok(_) => break,
            Err(status) => ensure!(start.elapsed().as_secs() < 20, "{status}\n{}", member.log()),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let read = pb::ReadIndexRequest { target: None };
    let answered = RaftClient::new(known.channel(&peer, None)?).read_index(read).await.expect_err("no target");
    ensure!(answered.code() == tonic::Code::FailedPrecondition, "a member is heard: {answered}");

    for (who, pair) in [("nobody", None), ("a stranger", pair(&foreign))] {
        let stranger = ClientIdentity::load(&trusted, pair)?;
        let refused = KvClient::new(stranger.channel(&client, None)?).range(get("k")).await.expect_err(who);
        let unheard = [tonic::Code::Unavailable, tonic::Code::Unknown, tonic::Code::Cancelled];
        ensure!(unheard.contains(&refused.code()), "{who}: {refused}");
        let refused = RaftClient::new(stranger.channel(&peer, None)?).read_index(read).await.expect_err(who);
        ensure!(refused.code() != tonic::Code::FailedPrecondition, "{who} reaches the peer port: {refused}");
    }

    // Debian's etcdctl, as upstream's scripts call it.
    let etcdctl = |args: &[&str]| -> Result<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &client, "--cacert", &ca])
            .args(["--cert", &file(ours.certificate("client")), "--key", &file(ours.key("client"))])
            .args(args)
            .output()
            .context("etcdctl does not start; install it: apt-get install etcd-client")?;
        ensure!(output.status.success(), "etcdctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    ensure!(etcdctl(&["put", "a", "b"])? == "OK\n");
    ensure!(etcdctl(&["get", "a"])? == "a\nb\n");
    Ok(())
}

#[tokio::test]
async fn lists_of_names_keep_out_whoever_has_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(folder.path().join("pki"));
    let known = ["127.0.0.1", "localhost", "member.store.test"];
    pki.ensure(&[identity("server", &known), identity("other", &["other.store.test"])])?;
    let mut spec = specs(folder.path(), 1)?.remove(0);
    spec.scheme = "https";
    spec.cluster = spec.cluster.replace("http:", "https:");
    let file = |path: std::path::PathBuf| path.display().to_string();
    for prefix in ["", "peer-"] {
        spec.args.extend([
            format!("--{prefix}cert-file={}", file(pki.certificate("server"))),
            format!("--{prefix}key-file={}", file(pki.key("server"))),
            format!("--{prefix}trusted-ca-file={}", file(pki.authority(Authority::Store))),
            format!("--{prefix}client-cert-auth"),
        ]);
    }
    spec.args.extend([
        "--peer-cert-allowed-cn=somebody,server".to_owned(),
        "--client-cert-allowed-hostname=member.store.test".to_owned(),
    ]);
    let member = Member::start(&spec)?;
    let called = async |who: &str, port: u16| -> Result<tonic::Code> {
        let identity =
            ClientIdentity::load(pki.authority(Authority::Store), Some((pki.certificate(who), pki.key(who))))?;
        let channel = identity.channel(&format!("https://127.0.0.1:{port}"), None)?;
        if port == spec.peer {
            let read = pb::ReadIndexRequest { target: None };
            let answer = RaftClient::new(channel).read_index(read).await;
            return Ok(answer.err().map_or(tonic::Code::Ok, |status| status.code()));
        }
        let answer = KvClient::new(channel).range(get("k")).await;
        Ok(answer.err().map_or(tonic::Code::Ok, |status| status.code()))
    };
    let start = std::time::Instant::now();
    while called("server", spec.client).await? != tonic::Code::Ok {
        ensure!(start.elapsed().as_secs() < 20, "{}", member.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Heard, and refused only because the call is for nobody.
    ensure!(called("server", spec.peer).await? == tonic::Code::FailedPrecondition);
    for port in [spec.client, spec.peer] {
        let code = called("other", port).await?;
        ensure!(![tonic::Code::Ok, tonic::Code::FailedPrecondition].contains(&code), "another name: {code:?}");
    }
    let log = member.log();
    ensure!(log.contains("allowed are only: somebody, server"), "{log}");
    ensure!(log.contains("none of the allowed host names: member.store.test"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_talk_over_mutual_tls_with_a_list_of_names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::new(folder.path().join("pki"));
    pki.ensure(&[identity("server", &["127.0.0.1", "localhost"]), identity("other", &["127.0.0.1"])])?;
    let file = |path: std::path::PathBuf| path.display().to_string();
    let ca = file(pki.authority(Authority::Store));
    let mut specs = specs(folder.path(), 3)?;
    for (at, spec) in specs.iter_mut().enumerate() {
        spec.scheme = "https";
        spec.cluster = spec.cluster.replace("http:", "https:");
        // The third has a certificate of the same CA, and another name.
        let who = if at == 2 { "other" } else { "server" };
        for (prefix, who) in [("", "server"), ("peer-", who)] {
            spec.args.extend([
                format!("--{prefix}cert-file={}", file(pki.certificate(who))),
                format!("--{prefix}key-file={}", file(pki.key(who))),
                format!("--{prefix}trusted-ca-file={ca}"),
            ]);
        }
        spec.args.extend(["--peer-client-cert-auth".to_owned(), "--peer-cert-allowed-cn=server".to_owned()]);
    }
    let members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    let (cert, key) = (file(pki.certificate("server")), file(pki.key("server")));
    let tls = ["--cacert", &ca, "--cert", &cert, "--key", &key];
    let ask = |at: usize, args: &[&str]| {
        test_store::etcdctl(&format!("https://127.0.0.1:{}", specs[at].client), &[&tls[..], args].concat())
    };
    let start = std::time::Instant::now();
    while let Err(error) = ask(0, &["put", "a", "b"]) {
        ensure!(start.elapsed().as_secs() < 20, "{error}\n{}", members[0].log());
    }
    ensure!(ask(1, &["get", "a"])? == "a\nb\n");
    let told =
        |member: &Member| member.log().contains("(CN=other)") && member.log().contains("allowed are only: server");
    ensure!(members[..2].iter().any(told), "the third is heard by nobody: {}", members[0].log());
    Ok(())
}
