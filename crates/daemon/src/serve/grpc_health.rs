//! `grpc.health.v1.Health` out of the same checks as `/readyz`.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as Service, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::health::Health;

/// How often a watcher's status is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// The service. One status for the whole process: every service name has it.
pub struct GrpcHealth {
    health: Health,
}

impl GrpcHealth {
    /// Mountable form.
    pub fn service(health: Health) -> HealthServer<Self> {
        HealthServer::new(Self { health })
    }
}

async fn status(health: &Health) -> HealthCheckResponse {
    let status = if health.is_ready().await { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for GrpcHealth {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(status(&self.health).await))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let first = (self.health.clone(), None);
        let changes = stream::unfold(first, |(health, last)| async move {
            loop {
                let now = status(&health).await;
                if last.as_ref() != Some(&now) {
                    return Some((Ok(now), (health, Some(now))));
                }
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
