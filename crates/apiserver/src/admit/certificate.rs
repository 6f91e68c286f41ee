//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may decide about and sign requests for
//! certificates, and what nobody may ask for.

use proto::certificates::v1::CertificateSigningRequest;
use proto::dynamic::DynObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::authenticate::User;
use crate::authorize::{Access, Attributes, MASTERS};
use crate::registry::Resource;
use crate::status::Result;

const GROUP: &str = "certificates.k8s.io";
/// The signer of certificates by which clients are known to the apiserver.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Refuses a decision about a request, or its certificate, by somebody who needs the verb on the signer for it.
pub fn on_update(
    access: &Access,
    user: &User,
    resource: &Resource,
    subresource: &str,
    new: &dyn DynObject,
    old: &dyn DynObject,
) -> Result<()> {
    let (Some(new), Some(old)) =
        (new.downcast_ref::<CertificateSigningRequest>(), old.downcast_ref::<CertificateSigningRequest>())
    else {
        return Ok(());
    };
    let changed = new.status.certificate != old.status.certificate || new.status.conditions != old.status.conditions;
    let verb = match subresource {
        "approval" => "approve",
        "status" if changed => "sign",
        _ => return Ok(()),
    };
    let signer = &old.spec.signer_name;
    if may(access, user, verb, signer) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(resource.forbidden(&old.metadata.name, &why))
}

/// By the signer's name, or by its domain (`example.com/*`).
fn may(access: &Access, user: &User, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].iter().any(|name| {
        let attributes = Attributes { verb, group: GROUP, resource: "signers", name, ..Attributes::default() };
        access.judge(user, &attributes).allowed
    })
}

/// Refuses a request for a certificate that would make its bearer a member of the masters.
pub fn on_create(resource: &Resource, object: &dyn DynObject) -> Result<()> {
    let Some(request) = object.downcast_ref::<CertificateSigningRequest>() else { return Ok(()) };
    let signer = &request.spec.signer_name;
    if signer != CLIENT_SIGNER {
        return Ok(());
    }
    let name = &request.metadata.name;
    let organizations = organizations(&request.spec.request)
        .map_err(|why| resource.forbidden(name, &format!("failed to parse CSR: {why}")))?;
    match organizations.iter().any(|organization| organization == MASTERS) {
        false => Ok(()),
        true => {
            let why = format!("use of {signer} signer with {MASTERS} group is not allowed");
            Err(resource.forbidden(name, &why))
        }
    }
}

/// The organizations of the subject of a request, PEM.
fn organizations(pem: &[u8]) -> std::result::Result<Vec<String>, String> {
    let missing = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
    let block = rustls_pemfile::read_one_from_slice(pem).map_err(|_| missing())?;
    let Some((rustls_pemfile::Item::Csr(der), _)) = block else { return Err(missing()) };
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|part| part.as_str().ok()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use proto::certificates::v1::CertificateSigningRequestCondition as Condition;

    use super::*;
    use crate::registry::Registry;

    fn request(signer: &str, organization: &str) -> CertificateSigningRequest {
        let mut params = rcgen::CertificateParams::new(vec![]).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.serialize_request(&key).expect("a request").pem().expect("PEM");
        let mut request = CertificateSigningRequest::default();
        request.metadata.name = "r".into();
        request.spec.signer_name = signer.into();
        request.spec.request = pem.into_bytes();
        request
    }

    #[test]
    fn nobody_becomes_a_master_by_a_certificate() {
        let registry = Registry::new();
        let resource = registry.find(GROUP, "v1", "certificatesigningrequests").expect("served");
        assert!(on_create(resource, &request(CLIENT_SIGNER, "devs")).is_ok());
        assert!(on_create(resource, &request("example.com/own", MASTERS)).is_ok());
        let refused = on_create(resource, &request(CLIENT_SIGNER, MASTERS)).expect_err("refused");
        let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        assert!(refused.code() == 403 && refused.to_string().ends_with(why), "{refused}");
        let mut damaged = request(CLIENT_SIGNER, "devs");
        damaged.spec.request = b"nothing".to_vec();
        assert!(on_create(resource, &damaged).is_err());
    }

    #[test]
    fn signing_wants_a_verb_on_the_signer() {
        let registry = Registry::new();
        let resource = registry.find(GROUP, "v1", "certificatesigningrequests").expect("served");
        let access = Access::new(Vec::new());
        let (alice, master) = (User::default(), User { groups: vec![MASTERS.to_owned()], ..User::default() });
        let old = request("example.com/own", "devs");
        let mut signed = old.clone();
        signed.status.certificate = b"certificate".to_vec();
        let mut decided = old.clone();
        decided.status.conditions.push(Condition { r#type: "Approved".into(), ..Condition::default() });
        for (subresource, new, verb) in
            [("status", &signed, "sign"), ("status", &decided, "sign"), ("approval", &decided, "approve")]
        {
            assert!(on_update(&access, &master, resource, subresource, new, &old).is_ok());
            let refused = on_update(&access, &alice, resource, subresource, new, &old).expect_err("refused");
            let why = format!("user not permitted to {verb} requests with signerName \"example.com/own\"");
            assert!(refused.to_string().ends_with(&why), "{refused}");
        }
        assert!(on_update(&access, &alice, resource, "status", &old, &old).is_ok());
        assert!(on_update(&access, &alice, resource, "", &signed, &old).is_ok());
    }
}
