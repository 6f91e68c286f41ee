//! Events: core/v1 (the stored form) and events.k8s.io/v1 name the same fields differently.

#![allow(deprecated, reason = "deprecated fields travel too")]

use proto::dynamic::DynObject;
use proto::{core, events};

/// core/v1 to events.k8s.io/v1.
pub fn to_events(object: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let event = object.downcast_ref::<core::v1::Event>()?.clone();
    Some(Box::new(events::v1::Event {
        metadata: event.metadata,
        event_time: event.event_time,
        series: event.series.map(|series| events::v1::EventSeries {
            count: series.count,
            last_observed_time: series.last_observed_time,
        }),
        reporting_controller: event.reporting_component,
        reporting_instance: event.reporting_instance,
        action: event.action,
        reason: event.reason,
        regarding: event.involved_object,
        related: event.related,
        note: event.message,
        r#type: event.r#type,
        deprecated_source: event.source,
        deprecated_first_timestamp: event.first_timestamp,
        deprecated_last_timestamp: event.last_timestamp,
        deprecated_count: event.count,
    }))
}

/// events.k8s.io/v1 to core/v1.
pub fn to_core(object: &dyn DynObject) -> Option<Box<dyn DynObject>> {
    let event = object.downcast_ref::<events::v1::Event>()?.clone();
    Some(Box::new(core::v1::Event {
        metadata: event.metadata,
        event_time: event.event_time,
        series: event
            .series
            .map(|series| core::v1::EventSeries { count: series.count, last_observed_time: series.last_observed_time }),
        reporting_component: event.reporting_controller,
        reporting_instance: event.reporting_instance,
        action: event.action,
        reason: event.reason,
        involved_object: event.regarding,
        related: event.related,
        message: event.note,
        r#type: event.r#type,
        source: event.deprecated_source,
        first_timestamp: event.deprecated_first_timestamp,
        last_timestamp: event.deprecated_last_timestamp,
        count: event.deprecated_count,
    }))
}
