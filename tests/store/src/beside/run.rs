//! One seed's requests to ours and to real etcds, compared one by one.

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_request::RequestUnion;

use super::answer::Answer;
use super::case::Case;
use super::excuse::{self, Release};
use super::generate::Generator;
use super::inbox::{Watching, events};
use super::server::Server;
use super::tally::Tally;
use super::trio::Trio;
use super::watched::{History, Inbox};
use super::world::World;

/// Watch streams whose watchers come and go; one more sees everything.
pub const STREAMS: usize = 2;
/// Requests after which all watchers are looked at.
const LOOK_EVERY: u64 = 120;
/// Of what is printed.
const TEXT_LEN_MAX: usize = 3000;

/// A real etcd.
pub struct Peer {
    pub release: Release,
    pub server: Server,
}

pub struct Run<'a> {
    seed: u64,
    step: u64,
    ours: &'a mut Server,
    peers: &'a mut [Peer],
    generator: Generator,
    history: History,
    tally: Tally,
    /// When all watchers were looked at.
    looked: u64,
}

impl<'a> Run<'a> {
    /// The servers have `ops_max` as --max-txn-ops, and are fresh.
    pub async fn begin(seed: u64, ops_max: usize, trio: &'a mut Trio) -> Result<Self> {
        let Trio { ours, peers, .. } = trio;
        let everything =
            etcd::WatchCreateRequest { range_end: "\0".into(), prev_kv: true, fragment: true, ..Default::default() };
        for server in peers.iter_mut().map(|peer| &mut peer.server).chain([&mut *ours]) {
            server.streams[STREAMS].ask(RequestUnion::CreateRequest(everything.clone())).await?;
        }
        let generator = Generator::new(seed, STREAMS, ops_max);
        let (history, tally) = (History::default(), Tally::default());
        Ok(Self { seed, step: 0, ours, peers, generator, history, tally, looked: 0 })
    }

    /// Asks at least `requests` requests.
    pub async fn run(mut self, requests: u64) -> Result<Tally> {
        while self.step < requests {
            let batch = self.generator.batch();
            if self.step >= self.looked + LOOK_EVERY || batch.iter().any(moves_watchers) {
                self.look().await.with_context(|| format!("seed {}, step {}, watchers", self.seed, self.step))?;
            }
            match &batch[..] {
                [case] if !case.is_read() => self.ask(case).await?,
                reads => self.ask_reads(reads).await?,
            }
        }
        self.look().await.with_context(|| format!("seed {}, watchers at the end", self.seed))?;
        let servers = self.peers.iter().map(|peer| &peer.server).chain([&*self.ours]);
        let fragments = servers.map(|server| server.streams.iter().map(Watching::fragments).sum());
        self.tally.fragments = fragments.min().unwrap_or(0);
        Ok(self.tally)
    }

    async fn ask(&mut self, case: &Case) -> Result<()> {
        let place = format!("seed {}, step {}", self.seed, self.step);
        let asked = self.peers.iter_mut().map(async |peer| match excuse::not_asked(peer.release, case) {
            Some(_) => Ok(Answer::Silence),
            None => peer.server.ask(case).await,
        });
        let (ours, theirs) = futures::future::join(self.ours.ask(case), try_join_all(asked)).await;
        let (ours, theirs) = (ours.context(place.clone())?, theirs.context(place)?);
        self.compare(case, &ours, &theirs)
    }

    async fn ask_reads(&mut self, cases: &[Case]) -> Result<()> {
        let place = format!("seed {}, step {}", self.seed, self.step);
        let asked = self.peers.iter().map(async |peer| {
            let is_asked = |case: &&Case| excuse::not_asked(peer.release, case).is_none();
            let asked: Vec<Case> = cases.iter().filter(is_asked).cloned().collect();
            let mut answers = peer.server.ask_reads(&asked).await?.into_iter();
            let answer = |case: &Case| is_asked(&case).then(|| answers.next()).flatten();
            anyhow::Ok(cases.iter().map(answer).map(|answer| answer.unwrap_or(Answer::Silence)).collect::<Vec<_>>())
        });
        let (ours, theirs) = futures::future::join(self.ours.ask_reads(cases), try_join_all(asked)).await;
        let (ours, theirs) = (ours.context(place.clone())?, theirs.context(place)?);
        for (at, case) in cases.iter().enumerate() {
            let theirs: Vec<Answer> = theirs.iter().map(|answers| answers[at].clone()).collect();
            self.compare(case, &ours[at], &theirs)?;
        }
        Ok(())
    }

    /// `theirs`: what each peer said.
    fn compare(&mut self, case: &Case, ours: &Answer, theirs: &[Answer]) -> Result<()> {
        for (peer, theirs) in self.peers.iter().zip(theirs) {
            if let Some((name, says)) = excuse::not_asked(peer.release, case) {
                ensure!(says(ours), "seed {}, step {}: {}\n{}", self.seed, self.step, short(case), short(ours));
                self.tally.excuse(peer.release, &[name]);
                continue;
            }
            match excuse::answers(peer.release, case, ours, theirs) {
                Some(because) => self.tally.excuse(peer.release, &because),
                None => bail!(
                    "seed {}, step {}: {}\n{}: {}\n{}: {}",
                    self.seed,
                    self.step,
                    short(case),
                    self.ours.name,
                    short(ours),
                    peer.server.name,
                    short(theirs)
                ),
            }
        }
        self.tally.note(case, ours);
        self.generator.world.learn(case, ours);
        self.step += 1;
        Ok(())
    }

    /// Waits for everything that watchers are to get, and compares it.
    async fn look(&mut self) -> Result<()> {
        self.looked = self.step;
        let world = &self.generator.world;
        let whole = self.everything(self.ours).await?;
        self.history.go_on(events(&whole, 0));
        let ours = inboxes(self.ours, &self.history, world).await?;
        for peer in &*self.peers {
            let theirs = self.everything(&peer.server).await?;
            same_inboxes(STREAMS, &whole, peer, &theirs)?;
            let theirs = inboxes(&peer.server, &self.history, world).await?;
            for (stream, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                same_inboxes(stream, ours, peer, theirs)?;
            }
        }
        let got = ours.iter().chain([&whole]).flat_map(Inbox::values).map(|got| got.len() as u64);
        self.tally.events += got.sum::<u64>();
        self.generator.world.settle(&ours);
        Ok(())
    }

    /// What the watcher of everything got since the last look.
    async fn everything(&self, server: &Server) -> Result<Inbox> {
        let (revision, seen) = (self.generator.world.revision, self.generator.world.seen);
        let last = |inbox: &Inbox| Some(events(inbox, 0).last()?.kv.as_ref()?.mod_revision);
        let whole = server.streams[STREAMS].take(|inbox| revision == seen || last(inbox) >= Some(revision)).await;
        whole.with_context(|| format!("{}: events of revisions {} to {revision}", server.name, seen + 1))
    }
}

/// Whether what watchers got so far must be looked at first: afterwards it is not known what they should have got.
fn moves_watchers(case: &Case) -> bool {
    matches!(case, Case::Compact(_) | Case::WatchCancel { .. } | Case::WatchProgress { .. })
}

/// What came on the streams of a server, once all that is to come has come; each watcher's checked by itself.
async fn inboxes(server: &Server, history: &History, world: &World) -> Result<Vec<Inbox>> {
    let mut inboxes = Vec::new();
    for stream in 0..STREAMS {
        let watchers: Vec<_> = world.watched.all().filter(|(of, _, _)| *of == stream).collect();
        let came = |inbox: &Inbox, id: &i64| inbox.get(id).map_or(0, Vec::len);
        let enough = |inbox: &Inbox| watchers.iter().all(|(_, id, kept)| came(inbox, id) >= history.expected(kept));
        let inbox = server.streams[stream].take(enough).await;
        let inbox = inbox.with_context(|| format!("{}: stream {stream}, {watchers:?}", server.name))?;
        for (_, id, kept) in watchers {
            let got = inbox.get(&id).map(Vec::as_slice).unwrap_or_default();
            if let Err(text) = history.check(kept, got) {
                bail!("{}: watcher {id} of stream {stream}, {kept:?}: {}", server.name, short(&text));
            }
        }
        inboxes.push(inbox);
    }
    Ok(inboxes)
}

fn same_inboxes(stream: usize, ours: &Inbox, peer: &Peer, theirs: &Inbox) -> Result<()> {
    let ids: std::collections::BTreeSet<i64> = ours.keys().chain(theirs.keys()).copied().collect();
    for id in ids {
        let of = |inbox: &Inbox| inbox.get(&id).cloned().unwrap_or_default();
        let (ours, theirs) = (of(ours), of(theirs));
        if let Some((ours, theirs)) = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs) {
            let (ours, theirs) = (short(ours), short(theirs));
            bail!("watcher {id} of stream {stream} got\nours: {ours}\n{}: {theirs}", peer.server.name);
        }
        ensure!(
            ours.len() == theirs.len(),
            "watcher {id} of stream {stream} got\nours: {}\n{}: {}",
            short(&ours),
            peer.server.name,
            short(&theirs)
        );
    }
    Ok(())
}

fn short(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(TEXT_LEN_MAX) {
        Some((at, _)) => format!("{}... ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}
