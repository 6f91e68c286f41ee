//! gRPC reflection that costs nothing until somebody asks: descriptors are decoded at the first call.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_reflection::server::Builder;
use tower_service::Service;

/// Version 1 of the protocol.
#[derive(Clone, Copy)]
pub struct V1;
/// The version that older tools speak.
#[derive(Clone, Copy)]
pub struct V1Alpha;

/// One version of the service, decoded lazily.
pub struct Reflection<V> {
    descriptors: &'static [u8],
    services: &'static [&'static str],
    built: Arc<OnceLock<Option<Routes>>>,
    version: PhantomData<V>,
}

impl<V> Clone for Reflection<V> {
    fn clone(&self) -> Self {
        Self { descriptors: self.descriptors, services: self.services, built: self.built.clone(), version: PhantomData }
    }
}

impl Reflection<()> {
    /// Both versions over one decoded set.
    pub fn services(
        descriptors: &'static [u8],
        services: &'static [&'static str],
    ) -> (Reflection<V1>, Reflection<V1Alpha>) {
        let built = Arc::new(OnceLock::new());
        (
            Reflection { descriptors, services, built: built.clone(), version: PhantomData },
            Reflection { descriptors, services, built, version: PhantomData },
        )
    }
}

fn build(descriptors: &'static [u8], services: &'static [&'static str]) -> Option<Routes> {
    let builder = || {
        // An empty set is a set, so that ports without services of their own have health to show.
        let mut builder = Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for service in services {
            builder = builder.with_service_name(*service);
        }
        builder
    };
    let v1 = builder().build_v1();
    let v1alpha = builder().build_v1alpha();
    match (v1, v1alpha) {
        (Ok(v1), Ok(v1alpha)) => Some(Routes::new(v1).add_service(v1alpha)),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!("gRPC reflection is off: {error}");
            None
        }
    }
}

impl<V> Service<Request<Body>> for Reflection<V> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let routes = self.built.get_or_init(|| build(self.descriptors, self.services)).clone();
        async move {
            match routes {
                Some(mut routes) => routes.call(request).await,
                None => {
                    let status = Status::unimplemented("the descriptors of this process cannot be decoded");
                    let (parts, ()) = status.into_http::<()>().into_parts();
                    Ok(Response::from_parts(parts, Body::empty()))
                }
            }
        }
        .boxed()
    }
}

impl NamedService for Reflection<V1> {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl NamedService for Reflection<V1Alpha> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}
