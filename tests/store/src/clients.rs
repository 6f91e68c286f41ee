//! The load under which members are hurt: clients on threads of their own, each writing values that nobody else writes.
//!
//! Some stay with one member, whatever it says; the others go on to the next one when they are refused. Most calls are on
//! a few keys that all share, the rest each put a new key, which nobody touches again: the ledger of what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use proto::etcdserverpb::kv_client::KvClient;
use test_sim::linear::{Answer, Call, Do, Key, Value};
use tonic::transport::{Channel, Endpoint};

use crate::recorder::Recorder;

/// Keys that all clients share; the last two are changed together.
pub const SHARED: Key = 7;
const PAIR: [Key; 2] = [SHARED - 2, SHARED - 1];
/// Keys from here on are put once.
pub const LEDGER: Key = 1000;
/// Keys of the ledger that are one client's.
const LEDGER_EACH: Key = 5000;
/// Clients that go from member to member.
const ROVERS: u32 = 3;

const CONNECT: Duration = Duration::from_millis(500);
/// Shorter than a member waits for a quorum: what becomes of the call is not known then.
const ATTEMPT: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(4);
/// After a refusal.
const PAUSE_LONG: Duration = Duration::from_millis(60);

pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Clients in the caller's network namespace, one for each member and some for all.
    pub fn start(recorder: &Arc<Recorder>, urls: &[String]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let members = u32::try_from(urls.len())?;
        let mut threads = Vec::new();
        for id in 0..members + ROVERS {
            let client = Client {
                id,
                at: (id % members) as usize,
                stays: id < members,
                urls: urls.to_vec(),
                recorder: recorder.clone(),
                written: 0,
                ledger: LEDGER + LEDGER_EACH * Key::try_from(id)?,
                known: [0; SHARED as usize],
                dice: Dice(u64::from(id) + 1),
            };
            let stop = stop.clone();
            threads.push(std::thread::Builder::new().name(format!("client {id}")).spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(client.run(&stop))
            })?);
        }
        Ok(Self { stop, threads })
    }

    /// Ends it, when the calls that are under way have ended.
    pub fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
        ended.collect::<Result<Vec<()>>>().map(drop)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Of a test that failed: its error is what matters.
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

struct Client {
    id: u32,
    /// The member that it asks.
    at: usize,
    stays: bool,
    urls: Vec<String>,
    recorder: Arc<Recorder>,
    written: Value,
    ledger: Key,
    /// The revisions of the shared keys as it saw them last.
    known: [i64; SHARED as usize],
    dice: Dice,
}

impl Client {
    async fn run(mut self, stop: &AtomicBool) -> Result<()> {
        let channels = self.urls.iter().map(|url| channel(url)).collect::<Result<Vec<_>>>()?;
        while !stop.load(Ordering::Relaxed) {
            let call = self.next();
            let mut kv = KvClient::new(channels[self.at].clone());
            let answer = self.recorder.call(self.id, &mut kv, self.at, call.clone()).await;
            match answer.with_context(|| format!("client {}: {call:?}", self.id))? {
                Some(answer) => {
                    self.learn(&call, &answer);
                    tokio::time::sleep(PAUSE).await;
                }
                None => {
                    if !self.stays {
                        self.at = (self.at + 1) % self.urls.len();
                    }
                    tokio::time::sleep(PAUSE_LONG).await;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Value {
        self.written += 1;
        (u64::from(self.id) << 32) + self.written
    }

    fn next(&mut self) -> Call {
        let key = self.dice.below(u64::from(SHARED)) as Key;
        match self.dice.below(100) {
            0..30 => Call::get(key),
            30..50 => Call::put(key, self.value()),
            50..60 => Call::delete(key),
            60..75 => Call::swap(key, self.known[usize::from(key)], self.value()),
            75..85 => self.swap_pair(),
            _ => {
                self.ledger += 1;
                Call::put(self.ledger, self.value())
            }
        }
    }

    /// Both are changed when both are as this client knows them, else both are read.
    fn swap_pair(&mut self) -> Call {
        Call {
            compare: PAIR.map(|key| (key, self.known[usize::from(key)])).to_vec(),
            then: PAIR.map(|key| Do::Put(key, self.value())).to_vec(),
            otherwise: PAIR.map(Do::Get).to_vec(),
        }
    }

    fn learn(&mut self, call: &Call, answer: &Answer) {
        for (part, seen) in call.parts(answer.succeeded).iter().zip(&answer.seen) {
            let Some(known) = self.known.get_mut(usize::from(part.key())) else { continue };
            *known = match part {
                Do::Get(_) => seen.map_or(0, |(_, revision)| revision),
                Do::Put(..) => answer.revision,
                Do::Delete(_) => 0,
            };
        }
    }
}

pub fn channel(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    Ok(endpoint.connect_timeout(CONNECT).timeout(ATTEMPT).connect_lazy())
}

/// Numbers that look random; the same for each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}
