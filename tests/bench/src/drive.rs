//! Runs one load against one set of ports.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::calls::{Driver, Figures, Load};

/// Connections of a load, at most: clients share them, as the clients of one process do.
pub const CONNECTIONS: usize = 8;
/// Not counted: connections open, and queues fill.
const WARM_UP: Duration = Duration::from_millis(500);

/// Makes the load of one connection.
pub type Make<'a> = &'a (dyn Fn(u64) -> Box<dyn Load> + Sync);

/// Drives `clients` for `span` after a moment to warm up; calls `at_begin` when counting begins.
pub async fn drive(
    ports: &[u16],
    clients: usize,
    span: Duration,
    make: Make<'_>,
    at_begin: impl FnOnce() -> Result<()>,
) -> Result<Figures> {
    let connections = clients.min(CONNECTIONS.max(ports.len()));
    let begin = Instant::now() + WARM_UP;
    let mut tasks = JoinSet::new();
    for at in 0..connections {
        let (first, end) = (clients * at / connections, clients * (at + 1) / connections);
        let (port, mut load) = (ports[at % ports.len()], make(at as u64));
        tasks.spawn(async move {
            let driver = Driver::connect(port, &mut *load).await?;
            driver.run(first..end, begin, begin + span).await
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    at_begin()?;
    let mut sum = Figures::default();
    while let Some(figures) = tasks.join_next().await {
        sum.add(&figures??);
    }
    Ok(sum)
}
