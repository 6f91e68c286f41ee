//! Three members on a network of their own, under a load whose history is kept and judged at the end.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::clients::Load;
use crate::disk::Tmpfs;
use crate::net::{Net, address};
use crate::recorder::{Entry, Moment, Recorder};
use crate::{Member, Spec, cluster, specs, verdict};

/// How long anything may take that has to happen.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The election timeout of a member without flags.
pub const ELECTION: Duration = Duration::from_secs(1);
/// Answers that show that the cluster is at work.
pub const AT_WORK: usize = 150;
const MEMBERS: usize = 3;
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

pub struct World {
    /// A member that was killed is none.
    members: Vec<Option<Member>>,
    pub specs: Vec<Spec>,
    pub recorder: Arc<Recorder>,
    load: Option<Load>,
    /// The members' disks, where they have one of their own.
    pub disks: Vec<Tmpfs>,
    pub net: Net,
    _folder: tempfile::TempDir,
}

/// A test in a world of its own: `hurt` does what it does to the members under load; then the load ends, and the verdict
/// is given.
///
/// All of it, the clients too, lives in the namespace of the hub. `disk` is the size of each member's own disk, if it has one.
pub fn run<F: Future<Output = Result<World>>>(
    name: &str,
    disk: Option<&str>,
    hurt: impl FnOnce(World) -> F + Send,
) -> Result<()> {
    let net = Net::new(name, MEMBERS)?;
    let hub = net.hub();
    testkit::namespace::inside(Some(&hub), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let world = World::start(net, disk).await?;
            let mut world = hurt(world).await?;
            world.load.take().context("a load")?.finish()?;
            let running = world.members.iter().flatten().collect::<Vec<_>>();
            ensure!(running.len() == MEMBERS, "every member is back at the end");
            let told = verdict::give(&running, &world.recorder).await?;
            println!("{name}: {told}");
            Ok(())
        })
    })
}

impl World {
    async fn start(net: Net, disk: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut specs = specs(folder.path(), MEMBERS)?;
        for (at, spec) in specs.iter_mut().enumerate() {
            spec.host = address(at);
            spec.network = Some(net.space(at));
            (spec.client, spec.peer, spec.advertised_peer) = (CLIENT_PORT, PEER_PORT, PEER_PORT);
        }
        let cluster = cluster(&specs);
        specs.iter_mut().for_each(|spec| spec.cluster = cluster.clone());
        let mut disks = Vec::new();
        for spec in specs.iter().filter(|_| disk.is_some()) {
            disks.push(Tmpfs::mount(&spec.data_dir(), disk.unwrap_or_default())?);
        }
        let members = specs.iter().map(|spec| Member::start(spec).map(Some)).collect::<Result<Vec<_>>>()?;
        let recorder = Arc::new(Recorder::default());
        let mut world = Self { members, specs, recorder, load: None, disks, net, _folder: folder };
        for at in 0..MEMBERS {
            world.member(at)?.ready().await?;
        }
        let urls: Vec<String> = world.specs.iter().map(Spec::client_url).collect();
        let begun = world.recorder.now();
        world.load = Some(Load::start(&world.recorder, &urls)?);
        world.works(begun, "before anything happens").await?;
        Ok(world)
    }

    pub fn member(&self, at: usize) -> Result<&Member> {
        self.members[at].as_ref().with_context(|| format!("m{at} was killed"))
    }

    /// Which member all that run and can tell say is the leader.
    pub async fn leader(&self) -> Result<usize> {
        self.leader_of(&[0, 1, 2]).await
    }

    /// Which member all of these say is the leader; those that were killed are not asked.
    pub async fn leader_of(&self, asked: &[usize]) -> Result<usize> {
        let start = Instant::now();
        loop {
            let mut told = Vec::new();
            for member in asked.iter().filter_map(|at| self.members[*at].as_ref()) {
                told.push(member.status().await.map_or(0, |status| status.leader));
            }
            if let [first, others @ ..] = &told[..]
                && *first != 0
                && others.iter().all(|other| other == first)
            {
                for (at, member) in self.members.iter().enumerate() {
                    if let Some(member) = member
                        && member.id().await.is_ok_and(|id| id == *first)
                    {
                        return Ok(at);
                    }
                }
            }
            ensure!(start.elapsed() < DEADLINE, "no leader that {asked:?} know: {told:x?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self, at: usize) -> Result<()> {
        self.members[at].take().with_context(|| format!("m{at} runs"))?.kill()?;
        Ok(())
    }

    /// Starts a member that was killed.
    pub fn restart(&mut self, at: usize) -> Result<()> {
        ensure!(self.members[at].is_none(), "m{at} runs already");
        self.members[at] = Some(Member::start(&self.specs[at])?);
        Ok(())
    }

    /// SIGSTOP; it stands still when this returns.
    pub async fn freeze(&self, at: usize) -> Result<()> {
        let member = self.member(at)?;
        member.signal("STOP")?;
        let start = Instant::now();
        loop {
            let threads = std::fs::read_dir(format!("/proc/{}/task", member.pid()))?;
            let runs = threads.flatten().any(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
            });
            if !runs {
                return Ok(());
            }
            ensure!(start.elapsed() < DEADLINE, "m{at} does not stand still");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGCONT.
    pub fn thaw(&self, at: usize) -> Result<()> {
        self.member(at)?.signal("CONT")
    }

    /// Returns when enough calls that began after `since` were answered, writes among them.
    pub async fn works(&self, since: Moment, when: &str) -> Result<()> {
        self.answers(since, AT_WORK, when, |_| true).await?;
        self.answers(since, AT_WORK / 4, when, Entry::is_write).await
    }

    /// Returns when that many calls of a kind that began after `since` were answered.
    pub async fn answers(&self, since: Moment, count: usize, when: &str, which: impl Fn(&Entry) -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            let answered = self.recorder.answered_since(since, &which);
            if answered >= count {
                return Ok(());
            }
            if start.elapsed() > DEADLINE {
                let logs: Vec<String> = self.members.iter().flatten().map(|member| tail(&member.log())).collect();
                bail!("{when}: {answered} answers of {count} in {DEADLINE:?}\n{}", logs.join("\n---\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing that began after `since` was answered: nobody had a quorum.
    pub fn answered_nothing(&self, since: Moment, which: impl Fn(&Entry) -> bool) -> Result<()> {
        let answered = self.recorder.answered_since(since, which);
        ensure!(answered == 0, "{answered} calls were answered without a quorum");
        Ok(())
    }
}

/// The end of a log, for a failure's text.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
