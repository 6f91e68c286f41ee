//! Starts everything: informers, queues, workers, election, health; and ends it.

mod status;
mod wiring;

use std::sync::Arc;
use std::time::Duration;

use client::informer::Key;
use client::leader::{self, Elector};
use client::queue::WorkQueue;
use client::recorder::Recorder;
use client::{Client, Config};
use daemon::serve::{Server, bind};
use daemon::shutdown::Shutdown;
use daemon::tls::{ClientCerts, ServerIdentity};
use proto::time::Time;
use tokio::task::JoinSet;

use crate::execute::Executor;
use crate::flags::Flags;
use crate::view::View;
use crate::write::Plan;
use status::Status;

/// Pause of a key while the API server is away.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(1);

/// A controller that only plans.
pub struct Controller {
    /// Upstream's name.
    pub name: &'static str,
    /// What is to be done about a key.
    pub plan: fn(&View, &Key, Time) -> Plan,
    /// Keys worked on at once.
    pub workers: usize,
    /// Keys that wait.
    pub queue: WorkQueue<Key>,
}

/// The system clock, as plans see it.
pub fn now() -> Time {
    Time::from_system(std::time::SystemTime::now())
}

/// Runs until shutdown. Where leadership is lost it stops working and stands for election again.
pub async fn run(flags: Flags, shutdown: Shutdown) -> Result<(), Error> {
    let settings = flags.settings()?;
    flags.check_controllers(&wiring::NAMES)?;
    let config = Config::infer(flags.kubeconfig.as_deref(), None)
        .map_err(client::Error::from)?
        .user_agent("keelson-controller-manager");
    let client = Client::new(config)?;
    let status = Status::new(&flags);
    let serving = serve(&flags, &status, shutdown.drain.clone()).await?;

    let result = if flags.leader_elect {
        lead(&flags, settings, client, &status, &shutdown).await
    } else {
        work(&flags, settings, client, &status, &shutdown).await
    };
    shutdown.drain.cancel();
    if let Some(serving) = serving {
        // It drained, or panicked and was logged; either way it is over.
        let _ended = serving.await;
    }
    result
}

/// Waits for the Lease, works while it holds it, gives it up at the end.
async fn lead(
    flags: &Flags,
    settings: crate::flags::Settings,
    client: Client,
    status: &Status,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let mut options = leader::Options::new(
        &flags.leader_elect_resource_namespace,
        &flags.leader_elect_resource_name,
        leader::identity(),
    );
    options.lease_duration = flags.leader_elect_lease_duration;
    options.renew_deadline = flags.leader_elect_renew_deadline;
    options.retry_period = flags.leader_elect_retry_period;
    let mut elector = Elector::new(client.api(), options);
    loop {
        tokio::select! {
            () = elector.acquire() => {}
            () = shutdown.drain.cancelled() => return Ok(()),
        }
        tokio::select! {
            // Losing drops the work with all its tasks, so nothing is written any more; then it stands again.
            () = elector.hold() => status.idle(),
            result = work(flags, settings.clone(), client.clone(), status, shutdown) => {
                elector.release().await;
                return result;
            }
        }
    }
}

/// Runs informers and workers until shutdown.
async fn work(
    flags: &Flags,
    settings: crate::flags::Settings,
    client: Client,
    status: &Status,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    status.synced.fail("not synced yet");
    let view = Arc::new(View::new(settings));
    let (recorder, writer) = Recorder::new(&client, "controller-manager", "");
    let controllers = status.controllers.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(writer.run());
    wiring::informers(&client, &view, &controllers, &mut tasks);
    let executor = Executor::new(client.clone(), recorder.clone(), view.clone());
    tokio::select! {
        () = wiring::wait_synced(&view) => {}
        () = shutdown.drain.cancelled() => return Ok(()),
    }
    status.working();
    tracing::info!(controllers = controllers.len(), "informers are synced; working");
    for controller in controllers.iter() {
        for _ in 0..controller.workers {
            tasks.spawn(worker(controller.clone(), view.clone(), executor.clone()));
        }
    }
    wiring::tasks(flags, &client, &recorder, &view, &controllers, &mut tasks);
    loop {
        tokio::select! {
            () = shutdown.drain.cancelled() => break,
            Some(ended) = tasks.join_next() => ended.map_err(Error::Task)?,
        }
    }
    for controller in controllers.iter() {
        controller.queue.close();
    }
    tasks.shutdown().await;
    Ok(())
}

/// Takes keys and does what their plans say.
async fn worker(controller: Arc<Controller>, view: Arc<View>, executor: Executor) {
    while let Some(key) = controller.queue.next().await {
        let plan = (controller.plan)(&view, &key, now());
        if let Some(pause) = plan.again {
            controller.queue.add_after((*key).clone(), pause);
        }
        match executor.execute(plan.writes).await {
            Ok(()) => controller.queue.forget(&key),
            Err(error) if error.is_unavailable() => {
                // Nothing is wrong with the key: it need not wait longer each time.
                controller.queue.add_after((*key).clone(), UNAVAILABLE_PAUSE);
                tracing::debug!(controller = controller.name, key = %*key, "{error}");
            }
            Err(error) => {
                let pause = controller.queue.retry((*key).clone());
                let behind = error.is_conflict() || error.is_already_exists() || error.is_not_found();
                if behind || error.has_cause("NamespaceTerminating") {
                    tracing::debug!(controller = controller.name, key = %*key, "behind the server, looking again: {error}");
                } else {
                    let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(controller = controller.name, key = %*key, retry_ms, "{error}");
                }
            }
        }
    }
}

/// Health and metrics.
async fn serve(
    flags: &Flags,
    status: &Status,
    shutdown: tokio_util::sync::CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, Error> {
    if flags.secure_port == 0 {
        return Ok(None);
    }
    let mut server = Server::new(status.health.clone(), status.metrics.clone());
    let host = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
        (Some(cert), Some(key)) => {
            let clients = flags.client_ca_file.clone().map_or(ClientCerts::Ignored, ClientCerts::Optional);
            server = server.tls(ServerIdentity::load(cert, key, clients)?);
            flags.bind_address.clone()
        }
        _ => "127.0.0.1".to_owned(),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let listener = bind(&format!("{host}:{}", flags.secure_port), "--secure-port").await?;
    Ok(Some(tokio::spawn(server.serve(listener, shutdown))))
}

/// Why the daemon ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Flags(#[from] crate::flags::Error),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Tls(#[from] daemon::tls::Error),
    #[error(transparent)]
    Bind(#[from] daemon::serve::BindError),
    #[error("a task failed: {0}")]
    Task(tokio::task::JoinError),
}
