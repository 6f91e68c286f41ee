//! Replays the recorded requests and answers of a real Kubernetes against our parts.
