//! Runs one load: clients with one call under way each, as fast as it is answered; with a connection each over HTTP/1.1, on a few
//! connections together over HTTP/2.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use test_bench::calls::Figures;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::servers::{Cluster, Cpu, connections};
use crate::streams::Streams;

/// Not counted: queues fill.
const WARM_UP: Duration = Duration::from_millis(300);
/// Connections that clients share over HTTP/2, at most.
const HTTP2_CONNECTIONS: usize = 4;

/// What one client asks for, again and again.
pub trait Load: Send {
    /// Appends the next request.
    fn request(&mut self, out: &mut Vec<u8>);
    /// Looks at the answer, and says whether it counts.
    fn heard(&mut self, _body: &[u8]) -> Result<bool> {
        Ok(true)
    }
}

/// What was measured.
pub struct Measured {
    pub figures: Figures,
    pub span: Duration,
    pub cpu: Cpu,
    /// The apiserver's largest memory meanwhile, in bytes.
    pub peak: u64,
}

/// How many clients, for how long, and how they call.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub clients: usize,
    pub span: Duration,
    pub http2: bool,
}

/// Runs it; `make` makes the load of a client.
pub async fn run(cluster: &Cluster, shape: Shape, make: impl Fn(usize) -> Box<dyn Load>) -> Result<Measured> {
    let Shape { clients, span, http2 } = shape;
    let mut tasks = JoinSet::new();
    let begin = Instant::now() + WARM_UP;
    if http2 {
        let shared = clients.min(HTTP2_CONNECTIONS);
        for at in 0..shared {
            let loads = (clients * at / shared..clients * (at + 1) / shared).map(&make).collect();
            let streams = Streams::new(cluster.target.connect(true).await?, loads);
            tasks.spawn(streams.run(begin, begin + span));
        }
    } else {
        for (client, connection) in connections(&cluster.target, clients).await?.into_iter().enumerate() {
            tasks.spawn(drive(connection, make(client), begin, begin + span));
        }
    }
    tokio::time::sleep_until(begin.into()).await;
    test_bench::process::forget_peak(cluster.pid())?;
    let before = cluster.cpu()?;
    tokio::time::sleep_until((begin + span).into()).await;
    let cpu = cluster.cpu()?.since(before);
    let mut figures = Figures::default();
    while let Some(one) = tasks.join_next().await {
        figures.add(&one??);
    }
    Ok(Measured { figures, span, cpu, peak: test_bench::process::peak(cluster.pid())? })
}

async fn drive(mut connection: Connection, mut load: Box<dyn Load>, begin: Instant, end: Instant) -> Result<Figures> {
    let (mut figures, mut request) = (Figures::default(), Vec::new());
    loop {
        request.clear();
        load.request(&mut request);
        let since = Instant::now();
        if since >= end {
            return Ok(figures);
        }
        let status = connection.call(&request).await?.status;
        let now = Instant::now();
        ensure!(matches!(status, 200 | 201), "the server answered {status}: {}", connection.told());
        let counts = load.heard(&connection.body)?;
        if counts && now >= begin && now < end {
            figures.operations += 1;
            let micros = now.duration_since(since).as_micros() as u64;
            figures.latencies.saturating_record(micros.max(1));
        }
    }
}

/// Does so many calls as fast as they go, and counts nothing.
pub async fn fill(
    cluster: &Cluster,
    clients: usize,
    numbers: std::ops::Range<usize>,
    request: impl Fn(&mut Vec<u8>, usize) + Copy + Send + 'static,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    for (client, mut connection) in connections(&cluster.target, clients).await?.into_iter().enumerate() {
        let numbers = numbers.clone().skip(client).step_by(clients);
        tasks.spawn(async move {
            let mut out = Vec::new();
            for number in numbers {
                out.clear();
                request(&mut out, number);
                let status = connection.call(&out).await?.status;
                ensure!(matches!(status, 200 | 201), "the server answered {status}: {}", connection.told());
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
