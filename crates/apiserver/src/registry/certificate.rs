//! The subresource `approval` of CertificateSigningRequests: what a decision writes. Who may decide is admission's matter.

use proto::certificates::v1::CertificateSigningRequest;
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use crate::status::{Failure, Result};

/// The request with the conditions of `new`; nothing else of it changes.
pub fn approve(now: Time, new: &dyn DynObject, mut current: Box<dyn DynObject>) -> Result<Box<dyn DynObject>> {
    let (Some(new), Some(old)) =
        (new.downcast_ref::<CertificateSigningRequest>(), current.downcast_mut::<CertificateSigningRequest>())
    else {
        return Err(Failure::no_resource());
    };
    decide(new, old, now);
    Ok(current)
}

/// Takes the conditions over, and says when they came.
fn decide(new: &CertificateSigningRequest, old: &mut CertificateSigningRequest, now: Time) {
    let mut conditions = new.status.conditions.clone();
    for condition in &mut conditions {
        let before = old.status.conditions.iter().find(|before| before.r#type == condition.r#type);
        if condition.last_update_time == Time::default() {
            condition.last_update_time = now;
        }
        if condition.last_transition_time == Time::default() {
            let same = before.filter(|before| before.status == condition.status);
            condition.last_transition_time = same.map_or(now, |before| before.last_transition_time);
        }
    }
    old.status.conditions = conditions;
}

#[cfg(test)]
mod tests {
    use proto::certificates::v1::CertificateSigningRequestCondition as Condition;

    use super::*;

    #[test]
    fn a_decision_changes_conditions_only() {
        let now = Time { seconds: 100, nanos: 0 };
        let mut old = CertificateSigningRequest::default();
        old.status.certificate = b"certificate".to_vec();
        let mut new = old.clone();
        new.spec.signer_name = "example.com/other".into();
        new.status.certificate = Default::default();
        new.status.conditions =
            vec![Condition { r#type: "Approved".into(), status: "True".into(), ..Condition::default() }];
        decide(&new, &mut old, now);
        assert!(old.spec.signer_name.is_empty() && !old.status.certificate.is_empty());
        assert_eq!(old.status.conditions[0].last_update_time, now);
        assert_eq!(old.status.conditions[0].last_transition_time, now);
        // Deciding the same again is no transition.
        decide(&new, &mut old, Time { seconds: 200, nanos: 0 });
        assert_eq!(old.status.conditions[0].last_transition_time, now);
    }
}
