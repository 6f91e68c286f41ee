//! Health check node ports: tell load balancers whether this node has ready endpoints of a Service with
//! externalTrafficPolicy Local.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Duration, timeout};

use crate::service::ServiceName;

/// How long one check may take.
const CHECK_MAX: Duration = Duration::from_secs(5);
/// Bytes of a request that are read: its first line is enough.
const REQUEST_MAX: usize = 4096;

/// The open ports.
#[derive(Default)]
pub struct HealthChecks {
    open: BTreeMap<u16, Open>,
}

struct Open {
    service: ServiceName,
    local: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl HealthChecks {
    /// Opens and closes ports, and notes the numbers of endpoints.
    pub async fn set(&mut self, wanted: BTreeMap<u16, (ServiceName, usize)>) {
        self.open.retain(|port, open| {
            let stays = wanted.get(port).is_some_and(|(service, _)| *service == open.service);
            if !stays {
                open.task.abort();
            }
            stays
        });
        for (port, (service, count)) in wanted {
            if let Some(open) = self.open.get(&port) {
                open.local.store(count, Ordering::Relaxed);
                continue;
            }
            match TcpListener::bind(("::", port)).await {
                Ok(listener) => {
                    let local = Arc::new(AtomicUsize::new(count));
                    let task = tokio::spawn(serve(listener, service.clone(), local.clone())).abort_handle();
                    self.open.insert(port, Open { service, local, task });
                }
                Err(error) => tracing::warn!("health check node port {port} of {service} cannot be opened: {error}"),
            }
        }
    }
}

impl Drop for HealthChecks {
    fn drop(&mut self) {
        for open in self.open.values() {
            open.task.abort();
        }
    }
}

async fn serve(listener: TcpListener, service: ServiceName, local: Arc<AtomicUsize>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let text = answer(&service, local.load(Ordering::Relaxed));
        // One check at a time: they are short, and a slow one is cut.
        let _cut = timeout(CHECK_MAX, reply(stream, text)).await;
    }
}

async fn reply(mut stream: TcpStream, text: String) -> std::io::Result<()> {
    let mut request = [0; REQUEST_MAX];
    // Every request gets the same answer, so how much of it has come does not matter.
    let _some = stream.read(&mut request).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn answer(service: &ServiceName, local: usize) -> String {
    let status = if local > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = json!({
        "service": { "namespace": service.namespace, "name": service.name },
        "localEndpoints": local,
        "serviceProxyHealthy": true,
    })
    .to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Load-Balancing-Endpoint-Weight: {local}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_endpoints_is_not_healthy() {
        let name = ServiceName::new("n", "s");
        assert!(answer(&name, 0).starts_with("HTTP/1.1 503 "));
        assert!(answer(&name, 2).contains("\"localEndpoints\":2"));
    }
}
