//! Secrets with a certificate and its key. Whether the key fits the certificate is not judged here.

use proto::core::v1::Secret;

use super::Warnings;

const TLS: &str = "kubernetes.io/tls";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----";

/// A Secret.
pub fn secret(warnings: &mut Warnings, new: &Secret, _: Option<&Secret>) {
    if new.r#type != TLS {
        return;
    }
    let found = ["tls.crt", "tls.key"].map(|key| labels(new.data.get(key).map_or(&[][..], Vec::as_slice)));
    let [certificate, key] = &found;
    let is_key = |label: &String| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY");
    let told = if certificate.is_empty() {
        "failed to find any PEM data in certificate input".to_owned()
    } else if certificate.len() == 1 && is_key(&certificate[0]) {
        "failed to find certificate PEM data in certificate input, but did find a private key; \
         PEM inputs may have been switched"
            .to_owned()
    } else if !certificate.iter().any(|label| label == "CERTIFICATE") {
        let skipped = certificate.join(" ");
        format!(
            "failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following \
             types: [{skipped}]"
        )
    } else if key.is_empty() {
        "failed to find any PEM data in key input".to_owned()
    } else if key.iter().any(is_key) {
        return;
    } else if key.len() == 1 && key[0] == "CERTIFICATE" {
        "found a certificate rather than a key in the PEM for the private key".to_owned()
    } else {
        let skipped = key.join(" ");
        format!(
            "failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of \
             the following types: [{skipped}]"
        )
    };
    warnings.push(format!("tls: {told}"));
}

/// The labels of the PEM blocks in a text.
fn labels(pem: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(pem);
    let begun = text.lines().filter_map(|line| line.trim_end().strip_prefix(BEGIN)?.strip_suffix(END));
    begun.filter(|label| text.contains(&format!("-----END {label}-----"))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(certificate: &str, key: &str) -> Vec<String> {
        let mut secret = Secret { r#type: TLS.into(), ..Default::default() };
        secret.data.insert("tls.crt".into(), certificate.into());
        secret.data.insert("tls.key".into(), key.into());
        let mut warnings = Vec::new();
        self::secret(&mut warnings, &secret, None);
        warnings
    }

    #[test]
    fn what_is_no_pair_is_told() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nMAo=\n-----END {label}-----\n");
        let (certificate, key) = (block("CERTIFICATE"), block("RSA PRIVATE KEY"));
        assert_eq!(told(&certificate, &key), Vec::<String>::new());
        assert_eq!(told("x", &key), ["tls: failed to find any PEM data in certificate input"]);
        assert_eq!(told(&certificate, "y"), ["tls: failed to find any PEM data in key input"]);
        assert!(told(&key, &certificate)[0].ends_with("PEM inputs may have been switched"));
        assert!(told(&certificate, &certificate)[0].starts_with("tls: found a certificate rather than a key"));
        let mut opaque = Vec::new();
        secret(&mut opaque, &Secret::default(), None);
        assert_eq!(opaque, Vec::<String>::new());
    }
}
