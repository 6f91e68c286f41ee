//! APIServices: one of this server's own is available from its creation on, as upstream marks it.

use std::time::SystemTime;

use proto::apiregistration::v1::ApiService;
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use super::strategy::{Rules, Strategy};
use crate::aggregate::status::{Finding, record};

/// The strategy of APIServices.
#[derive(Debug)]
pub struct ApiServiceStrategy;

impl Strategy for ApiServiceStrategy {
    fn rules(&self) -> Rules {
        Rules::CONDITIONAL
    }

    fn create(&self, object: &mut dyn DynObject) {
        if let Some(service) = object.downcast_mut::<ApiService>()
            && service.spec.service.is_none()
        {
            record(service, &Finding::local(), Time::from_system(SystemTime::now()));
        }
    }
}
