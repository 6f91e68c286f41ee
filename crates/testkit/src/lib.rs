//! Builders, test clusters, fakes, and a maker of OCI images.
