//! Values of Kubernetes' libraries.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use proto::quantity::Amount;

use crate::library::named::Named;
use crate::library::semver::Semver;
use crate::library::url::Url;

/// A value of a library.
#[derive(Debug, Clone)]
pub enum Host<'a> {
    Url(Url),
    Ip(IpAddr),
    Cidr(Cidr),
    Quantity(Amount),
    Semver(Semver),
    Format(&'static Named),
    Authorizer(Builder<'a>),
    PathCheck(Builder<'a>),
    GroupCheck(Builder<'a>),
    ResourceCheck(Builder<'a>),
    Decision(Decision),
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

/// Who answers what a user may do.
pub trait Authorizer: Send + Sync {
    fn check(&self, access: &Access) -> Decision;
}

/// A question: may the user of the request, or a service account, do this?
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Namespace and name; the user of the request where there is none.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource; the fields of resources are empty then.
    pub path: Option<String>,
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// A question that is being put together.
#[derive(Clone)]
pub struct Builder<'a> {
    pub authorizer: Arc<dyn Authorizer + 'a>,
    pub access: Access,
}

impl fmt::Debug for Builder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.access.fmt(f)
    }
}

impl Host<'_> {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Self::PathCheck(_) => "kubernetes.authorization.PathCheck",
            Self::GroupCheck(_) => "kubernetes.authorization.GroupCheck",
            Self::ResourceCheck(_) => "kubernetes.authorization.ResourceCheck",
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a.name == b.name,
            (Self::Decision(a), Self::Decision(b)) => a == b,
            _ => false,
        }
    }

    /// Bytes of an address; one for what has no size.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Ip(IpAddr::V4(_)) | Self::Cidr(Cidr { address: IpAddr::V4(_), .. }) => 4,
            Self::Ip(IpAddr::V6(_)) | Self::Cidr(Cidr { address: IpAddr::V6(_), .. }) => 16,
            _ => 1,
        }
    }
}
