//! A snapshot on its way to a member: the connection breaks, and the transfer goes on where it stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use proto::etcdserverpb::kv_client::KvClient;
use test_store::traffic::Traffic;
use test_store::{Member, connect, get, leader, put, specs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const VALUE_BYTES: usize = 256 << 10;
const VALUES: usize = 160;
/// A connection breaks once it has carried so much to the member, as long as there are breaks left.
const BREAK_AFTER: u64 = 12 << 20;

/// Stands between a member's peer port and the others.
struct Between {
    carried: AtomicU64,
    breaks_left: AtomicU64,
}

impl Between {
    async fn run(self: Arc<Self>, listener: TcpListener, to: u16) {
        while let Ok((inbound, _)) = listener.accept().await {
            let between = self.clone();
            tokio::spawn(async move {
                let Ok(outbound) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                between.carry(inbound, outbound).await;
            });
        }
    }

    async fn carry(&self, inbound: TcpStream, outbound: TcpStream) {
        let (mut caller, mut to_caller) = inbound.into_split();
        let (mut member, mut to_member) = outbound.into_split();
        let back = async {
            // Either side may end it.
            let _ended = tokio::io::copy(&mut member, &mut to_caller).await;
        };
        let forth = async {
            let mut buffer = vec![0; 64 << 10];
            let mut carried = 0;
            while let Ok(len @ 1..) = caller.read(&mut buffer).await {
                carried += len as u64;
                self.carried.fetch_add(len as u64, Ordering::SeqCst);
                if to_member.write_all(&buffer[..len]).await.is_err() {
                    return;
                }
                if carried > BREAK_AFTER && self.take_break() {
                    return;
                }
            }
        };
        // Both connections are closed when one direction ends.
        tokio::select! {
            () = back => {}
            () = forth => {}
        }
    }

    fn take_break(&self) -> bool {
        let taken = self.breaks_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        taken.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_transfer_goes_on_where_it_stopped_while_the_leader_works() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut specs = specs(folder.path(), 3)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let behind = 2;
    specs[behind].advertised_peer = listener.local_addr()?.port();
    let between = Arc::new(Between { carried: AtomicU64::new(0), breaks_left: AtomicU64::new(0) });
    tokio::spawn(between.clone().run(listener, specs[behind].peer));
    let list = test_store::cluster(&specs);
    for spec in &mut specs {
        spec.cluster = list.clone();
        // The log is cut soon after all values are there, so that a member that was away needs a snapshot with all of them.
        spec.args.push(format!("--snapshot-count={}", VALUES + 40));
        spec.args.push("--snapshot-catchup-entries=20".to_owned());
    }
    let mut members: Vec<Member> = specs.iter().map(Member::start).collect::<Result<_>>()?;
    for member in &members {
        member.ready().await?;
    }
    let lost = members.remove(behind).kill()?;
    let led = leader(&members).await?;
    let mut kv = KvClient::new(connect(members[led].spec.client).await?);
    // Noise, so that nothing shrinks it on the way.
    let mut state = 7_u64;
    for count in 0..VALUES {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(VALUE_BYTES)
        .collect();
        let mut req = put(&format!("big{count:03}"), "");
        req.value = value.into();
        kv.put(req).await?;
    }
    for count in 0..2 * VALUES {
        kv.put(put("small", &count.to_string())).await?;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;

    between.carried.store(0, Ordering::SeqCst);
    between.breaks_left.store(2, Ordering::SeqCst);
    let ports = [members[0].spec.client, members[1].spec.client];
    let traffic = Traffic::start(&ports, 2)?;
    let back = Member::start(&lost)?;
    back.ready().await?;
    let last = proto::etcdserverpb::RangeRequest { serializable: true, ..get(&format!("big{:03}", VALUES - 1)) };
    let found = KvClient::new(connect(back.spec.client).await?).range(last).await?.into_inner();
    ensure!(found.kvs.len() == 1, "the member has what it missed");
    ensure!(between.breaks_left.load(Ordering::SeqCst) == 0, "the connection broke twice");
    let carried = between.carried.load(Ordering::SeqCst);
    let whole = (VALUES * VALUE_BYTES) as u64;
    let logs: String = members.iter().map(Member::log).collect();
    let resumed = logs.matches("the transfer of a snapshot broke and goes on").count();
    println!("{carried} bytes carried for a snapshot of about {whole}; it went on {resumed} times");
    ensure!(resumed >= 2, "the transfer goes on: {resumed}");
    ensure!(carried < whole + whole / 2, "what had arrived is not sent again: {carried} bytes of {whole}");
    let tallies = traffic.finish(back.spec.client).await?;
    ensure!(tallies.iter().all(|of| of.done > 10), "the leader went on: {tallies:?}");
    Ok(())
}
