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
