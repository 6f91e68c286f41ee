//! What every process shares: flags and config file, TLS identity, accept loop, tracing, metrics, health, shutdown.
