//! The subresource `approval` of CertificateSigningRequests: who may decide, and what a decision writes.

use proto::certificates::v1::CertificateSigningRequest;
use proto::dynamic::DynObject;
use proto::meta::v1::Time;

use crate::authenticate::User;
use crate::authorize::{self, Attributes};
use crate::server::Server;
use crate::status::{Failure, Result};

const GROUP: &str = "certificates.k8s.io";

/// The request with the conditions of `new`; nothing else of it changes. As upstream, `user` needs the verb `approve` on
/// the signer, by its name or by its domain (`example.com/*`).
pub fn approve(
    server: &Server,
    user: &User,
    new: &dyn DynObject,
    mut current: Box<dyn DynObject>,
) -> Result<Box<dyn DynObject>> {
    let (Some(new), Some(old)) =
        (new.downcast_ref::<CertificateSigningRequest>(), current.downcast_mut::<CertificateSigningRequest>())
    else {
        return Err(Failure::no_resource());
    };
    may_approve(server, user, &old.metadata.name, &old.spec.signer_name)?;
    decide(new, old, server.now());
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

fn may_approve(server: &Server, user: &User, name: &str, signer: &str) -> Result<()> {
    let domain = signer.split('/').next().unwrap_or_default();
    let allowed = [signer.to_owned(), format!("{domain}/*")].iter().any(|name| {
        let attributes =
            Attributes { verb: "approve", group: GROUP, resource: "signers", name, ..Attributes::default() };
        authorize::judge(server, user, &attributes).allowed
    });
    if allowed {
        return Ok(());
    }
    let why = format!("user not permitted to approve requests with signerName {signer:?}");
    Err(Failure::forbidden(GROUP, "certificatesigningrequests", name, &why))
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
