//! What upstream does where fairness is switched off: so many reading and so many changing requests at once, the next is refused.
//! Administrators are not counted.

use std::sync::Arc;

use http::HeaderValue;
use proto::flowcontrol::v1::FlowSchemaSpec;
use tokio::sync::Notify;

use super::bootstrap;
use super::borrow::Bounds;
use super::config::{Config, Flow};
use super::level::{Level, Setting};
use super::metrics::FairnessMetrics;
use crate::authenticate::User;
use crate::authorize::{Attributes, MASTERS};

#[derive(Debug)]
pub struct Plain {
    exempt: Arc<Flow>,
    reading: Arc<Flow>,
    writing: Arc<Flow>,
}

impl Plain {
    /// A limit of zero is none.
    pub fn new(reading: u32, writing: u32, config: &Config, metrics: &FairnessMetrics, ticks: &Arc<Notify>) -> Self {
        let flow = |name: &str, seats: u32, level: Option<&Arc<Level>>| {
            let seats = if seats == 0 { u32::MAX } else { seats };
            let bounds = Bounds { nominal: seats, lower: seats, upper: seats };
            let setting = Setting { exempt: false, queuing: None, bounds };
            let made = || Arc::new(Level::new(name, setting, Arc::clone(ticks)));
            Arc::new(Flow {
                name: name.to_owned(),
                uid: HeaderValue::from_static(""),
                level_uid: HeaderValue::from_static(""),
                spec: FlowSchemaSpec::default(),
                level: level.cloned().unwrap_or_else(made),
                metrics: metrics.of_flow(name, name),
            })
        };
        Self {
            exempt: flow(bootstrap::EXEMPT, 0, config.levels.get(bootstrap::EXEMPT)),
            reading: flow("readOnly", reading, None),
            writing: flow("mutating", writing, None),
        }
    }

    /// Where a request is counted.
    pub fn flow_of(&self, user: &User, asked: &Attributes<'_>) -> &Arc<Flow> {
        match asked.verb {
            _ if user.is_in(MASTERS) => &self.exempt,
            "get" | "list" | "watch" => &self.reading,
            _ => &self.writing,
        }
    }
}
