//! How a resource is named in requests.

use proto::keelson::api::v1::ResourceRef;

/// Group, version and plural name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version: `v1`.
    pub version: String,
    /// Plural name: `pods`.
    pub plural: String,
}

impl Resource {
    /// The resource of a kind that is known at compile time.
    pub fn of<T: proto::Kind>() -> Self {
        Self { group: T::GROUP.to_owned(), version: T::VERSION.to_owned(), plural: plural(T::KIND) }
    }

    /// Names one object, or with an empty name the collection.
    pub fn at(&self, namespace: &str, name: &str, subresource: &str) -> ResourceRef {
        ResourceRef {
            group: self.group.clone(),
            version: self.version.clone(),
            resource: self.plural.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        }
    }
}

/// The plural of a built-in kind: lower case, with English endings. Custom resources state theirs.
pub fn plural(kind: &str) -> String {
    let mut plural = kind.to_lowercase();
    if plural == "endpoints" {
        return plural;
    }
    if ["s", "x", "z", "ch", "sh"].iter().any(|ending| plural.ends_with(ending)) {
        plural.push_str("es");
    } else if plural.ends_with('y') && !["ay", "ey", "oy", "uy"].iter().any(|ending| plural.ends_with(ending)) {
        plural.pop();
        plural.push_str("ies");
    } else {
        plural.push('s');
    }
    plural
}

#[cfg(test)]
mod tests {
    use super::plural;

    #[test]
    fn plurals_of_built_in_kinds() {
        for (kind, expect) in [
            ("Pod", "pods"),
            ("Endpoints", "endpoints"),
            ("EndpointSlice", "endpointslices"),
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("IngressClass", "ingressclasses"),
            ("IPAddress", "ipaddresses"),
            ("ServiceCIDR", "servicecidrs"),
            ("CSIStorageCapacity", "csistoragecapacities"),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        ] {
            assert_eq!(plural(kind), expect);
        }
    }
}
