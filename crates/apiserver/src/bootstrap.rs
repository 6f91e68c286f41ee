//! What exists in every cluster: namespaces, roles, priority classes, the service range, and the way to this apiserver.
//!
//! Each object is created where it is missing, and looked after again every so often; what an administrator changed
//! stays, except for the endpoints of the `kubernetes` Service, which are this file's own.

mod endpoints;
pub mod extension;
mod objects;
pub mod policy;
mod reconcile;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::dynamic::DynObject;
use tokio_util::sync::CancellationToken;

use crate::aggregate::register::{self, Mend};
use crate::authenticate::User;
use crate::authorize::MASTERS;
use crate::server::Server;
use crate::status::Result;
use crate::verbs::options::WriteOptions;
use crate::verbs::owners::Owners;
use crate::verbs::write::change;
use crate::verbs::{Target, create, get};

const INTERVAL: Duration = Duration::from_secs(10);

/// Where clients in the cluster reach this apiserver.
#[derive(Debug, Clone)]
pub struct Advertised {
    /// `--advertise-address`.
    pub address: IpAddr,
    /// `--secure-port`.
    pub port: u16,
}

/// Creates what is missing, until all is there; then keeps the endpoints until stopped, and at the end leaves them.
pub async fn keep(server: Arc<Server>, advertised: Advertised, ready: daemon::health::Flag, stop: CancellationToken) {
    let mut complete = false;
    loop {
        match run(&server, &advertised, complete).await {
            Ok(()) if !complete => {
                complete = true;
                ready.ok();
                tracing::info!("the cluster's first objects are there");
            }
            Ok(()) => {}
            Err(failure) => tracing::warn!(%failure, "the cluster's first objects could not be made, trying again"),
        }
        let pause = if complete { INTERVAL } else { Duration::from_millis(200) };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Err(failure) = endpoints::leave(&server, &advertised).await {
        tracing::warn!(%failure, "this apiserver stays among the endpoints of the kubernetes Service");
    }
}

async fn run(server: &Server, advertised: &Advertised, complete: bool) -> Result<()> {
    if !complete {
        for namespace in objects::namespaces() {
            ensure(server, namespace).await?;
        }
        reconcile::run(server).await?;
        for class in objects::priority_classes() {
            ensure(server, class).await?;
        }
        ensure(server, objects::service_cidr(&server.services.ranges)).await?;
        objects::mark_ready(server).await?;
        for service in register::ours(&server.registry) {
            let target = place_of(server, &service)?;
            ensure(server, Box::new(service.clone())).await?;
            change(server, &target, false, &mut Mend(&service)).await?;
        }
    }
    extension::publish(server).await?;
    ensure(server, objects::kubernetes_service(&server.services.ranges, advertised.port)).await?;
    endpoints::join(server, advertised).await
}

/// Creates an object that is missing.
pub async fn ensure(server: &Server, object: Box<dyn DynObject>) -> Result<()> {
    let target = place_of(server, object.as_ref())?;
    if target.resource.cache.get(&target.resource.key(&target.namespace, &target.name)).is_some() {
        return Ok(());
    }
    match get::newest(server, &target).await {
        Err(failure) if failure.is_not_found() => {}
        other => return other.map(|_| ()),
    }
    create(server, &target, object).await
}

/// Where an object is, or is to be.
pub fn place_of(server: &Server, object: &dyn DynObject) -> Result<Target> {
    let (info, meta) = (object.info(), object.metadata());
    let plural = api::resource::by_kind(info.group, info.version, info.kind).map_or("", |row| row.plural);
    Target::resolve(&server.registry, (info.group, info.version, plural), &meta.namespace, &meta.name, "")
}

/// Creates an object; one that somebody else made meanwhile is fine.
pub async fn create(server: &Server, target: &Target, object: Box<dyn DynObject>) -> Result<()> {
    let place = target.named(&target.namespace, "");
    let user = User { name: "system:apiserver".to_owned(), groups: vec![MASTERS.to_owned()], ..User::default() };
    let options = WriteOptions { field_manager: "keelson-apiserver".to_owned(), ..WriteOptions::default() };
    let owners = Owners::Of(&options);
    match create::create_object(server, &user, &place, object, &options, owners, &mut Vec::new()).await {
        Err(failure) if failure.is_already_exists() => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}
