//! Runs pods on containerd: plan, then act.
