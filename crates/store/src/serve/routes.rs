//! The services for clients, each with what stands before it. KV, Watch and Lease are answered past these ([`super::direct`]).

use std::sync::Arc;

use proto::etcdserverpb::auth_server::AuthServer;
use proto::etcdserverpb::cluster_server::ClusterServer;
use proto::etcdserverpb::maintenance_server::MaintenanceServer;
use proto::v3electionpb::election_server::ElectionServer;
use proto::v3lockpb::lock_server::LockServer;
use tonic::service::Routes;

use super::bounds::Bounds;
use super::guard::Guard;
use super::leader::LeaderLayer;
use super::learner::LearnerLayer;
use super::{auth, cluster, election, lock, maintenance};
use crate::member::Member;

/// `bytes_max`: no request is longer. Answers have no bound, as in etcd.
pub fn clients(member: &Arc<Member>, bytes_max: usize) -> Routes {
    let own = || member.clone();
    let cluster = ClusterServer::new(cluster::ClusterService { member: own() });
    let maintenance = MaintenanceServer::new(maintenance::MaintenanceService { member: own() });
    let auth = AuthServer::new(auth::AuthService { member: own() });
    let lock = LockServer::new(lock::LockService { member: own() });
    let election = ElectionServer::new(election::ElectionService { member: own() });
    // A layer counts and guards these; KV, Watch and Lease do it by themselves, which costs less.
    let guarded = Routes::new(cluster.max_decoding_message_size(bytes_max))
        .add_service(maintenance.max_decoding_message_size(bytes_max))
        .add_service(auth.max_decoding_message_size(bytes_max))
        .add_service(lock.max_decoding_message_size(bytes_max))
        .add_service(election.max_decoding_message_size(bytes_max));
    let guarding = own();
    let guard = tower::layer::layer_fn(move |inner| Guard::new(guarding.clone(), inner));
    let routes = Routes::from(guarded.into_axum_router().route_layer(guard));
    let (leader, learner) = (LeaderLayer { member: own() }, LearnerLayer { member: own() });
    Routes::from(routes.into_axum_router().layer(leader).layer(learner).layer(Bounds))
}
