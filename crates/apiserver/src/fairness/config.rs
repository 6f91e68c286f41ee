//! FlowSchemas and PriorityLevelConfigurations as they are used: in the order in which they are asked, each with its level.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use proto::flowcontrol::v1::{FlowSchema, FlowSchemaSpec, PriorityLevelConfiguration};
use tokio::sync::Notify;

use super::borrow::{Bounds, Shares};
use super::level::{Level, Setting};
use super::metrics::{FairnessMetrics, FlowMetrics};
use super::seats::Queuing;
use super::{bootstrap, classify};
use crate::authenticate::User;
use crate::authorize::Attributes;

/// The objects that are there.
#[derive(Debug, Default)]
pub struct Objects {
    pub schemas: BTreeMap<String, FlowSchema>,
    pub levels: BTreeMap<String, PriorityLevelConfiguration>,
}

/// A FlowSchema in use.
#[derive(Debug)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// Its uid, and its level's, as answers tell them; empty: they do not.
    pub uid: HeaderValue,
    pub level_uid: HeaderValue,
    pub(super) spec: FlowSchemaSpec,
    /// Where its requests go.
    pub level: Arc<Level>,
    pub(super) metrics: FlowMetrics,
}

/// Everything in use.
#[derive(Debug)]
pub struct Config {
    /// In the order in which they are asked.
    flows: Vec<Arc<Flow>>,
    /// By name.
    pub levels: BTreeMap<String, Arc<Level>>,
    fallback: Arc<Flow>,
}

impl Config {
    /// Uses these objects; what a cluster cannot do without is taken from our own where it is missing. Levels that were there
    /// `before` go on with their requests.
    pub fn new(
        objects: &Objects,
        before: Option<&Self>,
        seats: u32,
        metrics: &FairnessMetrics,
        ticks: &Arc<Notify>,
    ) -> Self {
        let mut schemas: BTreeMap<String, FlowSchema> = BTreeMap::new();
        let mut specs: BTreeMap<String, PriorityLevelConfiguration> = BTreeMap::new();
        for schema in bootstrap::flow_schemas() {
            if bootstrap::is_mandatory(&schema.metadata.name) {
                schemas.insert(schema.metadata.name.clone(), schema);
            }
        }
        for level in bootstrap::levels() {
            if bootstrap::is_mandatory(&level.metadata.name) {
                specs.insert(level.metadata.name.clone(), level);
            }
        }
        schemas.extend(objects.schemas.clone());
        specs.extend(objects.levels.clone());
        let levels = make_levels(&specs, before, seats, ticks);
        let mut schemas: Vec<FlowSchema> = schemas.into_values().collect();
        schemas.sort_by(|a, b| {
            let key = |schema: &FlowSchema| (schema.spec.matching_precedence, schema.metadata.name.clone());
            key(a).cmp(&key(b))
        });
        let flows: Vec<Arc<Flow>> = schemas
            .into_iter()
            .filter_map(|schema| {
                let name = &schema.spec.priority_level_configuration.name;
                let level = Arc::clone(levels.get(name)?);
                let level_uid = specs.get(name).map_or("", |level| level.metadata.uid.as_str());
                Some(Arc::new(Flow {
                    uid: header(&schema.metadata.uid),
                    level_uid: header(level_uid),
                    metrics: metrics.of_flow(name, &schema.metadata.name),
                    name: schema.metadata.name,
                    spec: schema.spec,
                    level,
                }))
            })
            .collect();
        let catch_all = flows.iter().find(|flow| flow.name == bootstrap::CATCH_ALL);
        let fallback = catch_all.or(flows.last()).cloned().unwrap_or_else(|| nothing_else(&levels, metrics, ticks));
        Self { flows, levels, fallback }
    }

    /// The schema of a request.
    pub fn flow_of(&self, user: &User, asked: &Attributes<'_>) -> &Arc<Flow> {
        let found = self.flows.iter().find(|flow| classify::matches(&flow.spec, user, asked));
        found.unwrap_or(&self.fallback)
    }
}

/// Where even the mandatory schemas name levels that are not there.
fn nothing_else(levels: &BTreeMap<String, Arc<Level>>, metrics: &FairnessMetrics, ticks: &Arc<Notify>) -> Arc<Flow> {
    let bounds = Bounds { nominal: 1, lower: 1, upper: 1 };
    let setting = Setting { exempt: false, queuing: None, bounds };
    let made = || Arc::new(Level::new(bootstrap::CATCH_ALL, setting, Arc::clone(ticks)));
    let level = levels.get(bootstrap::CATCH_ALL).cloned().unwrap_or_else(made);
    Arc::new(Flow {
        name: bootstrap::CATCH_ALL.to_owned(),
        uid: header(""),
        level_uid: header(""),
        spec: FlowSchemaSpec::default(),
        metrics: metrics.of_flow(&level.name, bootstrap::CATCH_ALL),
        level,
    })
}

fn make_levels(
    specs: &BTreeMap<String, PriorityLevelConfiguration>,
    before: Option<&Config>,
    seats: u32,
    ticks: &Arc<Notify>,
) -> BTreeMap<String, Arc<Level>> {
    let shares: Vec<Shares> = specs.values().map(shares).collect();
    let bounds = Bounds::of(&shares, seats);
    let settings = specs.iter().zip(bounds).map(|((name, level), bounds)| {
        let exempt = level.spec.r#type == "Exempt";
        (name, Setting { exempt, queuing: queuing(level), bounds })
    });
    settings
        .map(|(name, setting)| {
            let level = match before.and_then(|before| before.levels.get(name)) {
                Some(level) => {
                    level.configure(setting);
                    Arc::clone(level)
                }
                None => Arc::new(Level::new(name, setting, Arc::clone(ticks))),
            };
            (name.clone(), level)
        })
        .collect()
}

fn shares(level: &PriorityLevelConfiguration) -> Shares {
    let number = |value: Option<i32>, default: u32| value.map_or(default, |value| u32::try_from(value).unwrap_or(0));
    match (&level.spec.limited, &level.spec.exempt) {
        (Some(limited), _) => Shares {
            shares: number(limited.nominal_concurrency_shares, 30),
            lendable_percent: number(limited.lendable_percent, 0).min(100),
            borrowing_percent: limited.borrowing_limit_percent.map(|percent| u32::try_from(percent).unwrap_or(0)),
        },
        (None, Some(exempt)) => Shares {
            shares: number(exempt.nominal_concurrency_shares, 0),
            lendable_percent: number(exempt.lendable_percent, 0).min(100),
            borrowing_percent: None,
        },
        (None, None) => Shares { shares: 0, lendable_percent: 0, borrowing_percent: None },
    }
}

fn queuing(level: &PriorityLevelConfiguration) -> Option<Queuing> {
    let response = &level.spec.limited.as_ref()?.limit_response;
    let queuing = response.queuing.as_ref().filter(|_| response.r#type == "Queue")?;
    let number = |value: i32| usize::try_from(value).unwrap_or(0).max(1);
    Some(Queuing {
        queues: number(queuing.queues),
        hand: number(queuing.hand_size),
        len_max: number(queuing.queue_length_limit),
    })
}

fn header(uid: &str) -> HeaderValue {
    HeaderValue::from_str(uid).unwrap_or_else(|_| HeaderValue::from_static(""))
}
