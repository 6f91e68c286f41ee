//! What webhooks answer, damaged.

use testkit::fuzz::damaged;

use super::review::{self, Version};

#[test]
fn answers_of_webhooks() {
    let change = br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u","allowed":true,"patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d","patchType":"JSONPatch","warnings":["w"],"auditAnnotations":{"k":"v"}}}"#;
    let refusal = br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u","allowed":false,"status":{"code":409,"message":"no","details":{"causes":[{"field":"f"}]}}}}"#;
    damaged(3_000, &[change, refusal], |bytes| {
        for version in [Version::V1, Version::V1Beta1] {
            let Ok(answer) = review::answer(version, "u", true, bytes) else { continue };
            if let Some(patch) = &answer.patch
                && let Ok(operations) = serde_json::from_slice(patch)
            {
                let _ = api::patch::json(&mut serde_json::json!({"a": {}, "b": [1]}), &operations);
            }
            let status = review::refusal("w", answer.status);
            assert!(status.code >= 400 && status.message.starts_with("admission webhook \"w\" denied the request"));
        }
    });
}
