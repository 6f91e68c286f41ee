//! Flags of etcd that do nothing here: taken, so that etcd's command lines and files work, and said in the log; or refused,
//! where whoever set them would count on something that is not there.

/// Values that ask for nothing.
const NOTHING: [&str; 6] = ["", "false", "0", "0s", "off", "*"];

macro_rules! taken {
    ($($field:ident, $flag:literal $(| $other:literal)*, $why:literal;)*) => {
        /// Each has no effect.
        #[derive(clap::Args, Clone, Debug, Default)]
        pub struct Taken {
            $(#[arg(long = $flag, $(alias = $other,)* hide = true, num_args = 0..=1, default_missing_value = "true")]
            $field: Option<String>,)*
        }

        impl Taken {
            /// The flags that were given, and why they have no effect.
            pub fn given(&self) -> Vec<(&'static str, &'static str)> {
                let mut given = Vec::new();
                $(if self.$field.is_some() {
                    given.push(($flag, $why));
                })*
                given
            }
        }
    };
}

macro_rules! refused {
    ($($field:ident, $flag:literal $(| $other:literal)*, [$($fine:literal)*], $why:literal;)*) => {
        /// Each is refused when it asks for something.
        #[derive(clap::Args, Clone, Debug, Default)]
        pub struct Refused {
            $(#[arg(long = $flag, $(alias = $other,)* hide = true, num_args = 0..=1, default_missing_value = "true")]
            $field: Option<String>,)*
        }

        impl Refused {
            /// The first flag that asks for what is not there, and what to do.
            pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
                $(if let Some(value) = &self.$field {
                    let fine: &[&str] = &[$($fine),*];
                    if !NOTHING.contains(&value.as_str()) && !fine.contains(&value.as_str()) {
                        return Err(($flag, $why));
                    }
                })*
                Ok(())
            }
        }
    };
}

taken! {
    max_snapshots, "max-snapshots", "snapshots are made when somebody needs one, and none is kept";
    max_wals, "max-wals", "segments of the log that nobody needs are removed at once";
    freelist, "backend-bbolt-freelist-type", "there is no bbolt";
    batch_interval, "backend-batch-interval", "writes are gathered for as long as a sync takes";
    batch_limit, "backend-batch-limit", "writes are gathered for as long as a sync takes";
    tick_advance, "initial-election-tick-advance", "a member alone leads at once, others wait one timeout";
    keepalive_min, "grpc-keepalive-min-time", "clients may ping as often as they like";
    reuse_address, "socket-reuse-address", "it is always so";
    raft_read, "raft-read-timeout", "streams between members have their own time limits";
    raft_write, "raft-write-timeout", "streams between members have their own time limits";
    pre_vote, "pre-vote", "it is always on";
    v2_deprecation, "v2-deprecation", "there is no v2";
    client_cert, "client-cert-file", "this member calls no client port";
    client_key, "client-key-file", "this member calls no client port";
    validity, "self-signed-cert-validity", "no certificates are made here";
    cipher_suites, "cipher-suites", "TLS 1.3, and of TLS 1.2 what has forward secrecy, is offered and nothing else";
    cors, "cors", "nothing is served to browsers";
    host_whitelist, "host-whitelist", "nothing is served to browsers";
    pprof, "enable-pprof", "there is no Go to profile";
    metrics, "metrics", "there is one level";
    log_format, "log-format", "--logging-format says it";
    log_rotation, "log-rotation-config-json", "logs go to stderr";
    unary_warning, "warning-unary-request-duration" | "experimental-warning-unary-request-duration",
        "slow pieces of work are said where they are slow";
    trace_address, "distributed-tracing-address" | "experimental-distributed-tracing-address", "there is no tracing";
    trace_service, "distributed-tracing-service-name" | "experimental-distributed-tracing-service-name",
        "there is no tracing";
    trace_instance, "distributed-tracing-instance-id" | "experimental-distributed-tracing-instance-id",
        "there is no tracing";
    trace_rate, "distributed-tracing-sampling-rate" | "experimental-distributed-tracing-sampling-rate",
        "there is no tracing";
    corrupt_check, "corrupt-check-time" | "experimental-corrupt-check-time", "whatever is read is checked then";
    compact_check, "compact-hash-check-enabled" | "experimental-compact-hash-check-enabled",
        "whatever is read is checked then";
    compact_check_time, "compact-hash-check-time" | "experimental-compact-hash-check-time",
        "whatever is read is checked then";
    lease_checkpoint, "experimental-enable-lease-checkpoint", "it is always on";
    lease_checkpoint_persist, "experimental-enable-lease-checkpoint-persist", "it is always on";
    compaction_batch, "compaction-batch-limit" | "experimental-compaction-batch-limit",
        "compaction holds nobody up for long";
    compaction_sleep, "compaction-sleep-interval" | "experimental-compaction-sleep-interval",
        "compaction holds nobody up for long";
    skip_san, "peer-skip-client-san-verification" | "experimental-peer-skip-client-san-verification",
        "names in certificates of members are looked at where --peer-cert-allowed-hostname says so only";
    downgrade_check, "downgrade-check-time" | "experimental-downgrade-check-time", "the log itself says it";
    mlock, "memory-mlock" | "experimental-memory-mlock", "values are read from files, the index is memory of its own";
    shared_buffer, "experimental-txn-mode-write-with-shared-buffer", "there is no bbolt";
    bootstrap_defrag, "bootstrap-defrag-threshold-megabytes" | "experimental-bootstrap-defrag-threshold-megabytes",
        "space is given back without being asked";
    stop_on_defrag, "experimental-stop-grpc-service-on-defrag", "there is nothing to defragment";
    ready_timeout, "wait-cluster-ready-timeout" | "experimental-wait-cluster-ready-timeout",
        "clients are served from the start";
    proxy_failure, "proxy-failure-wait", "there is no proxy";
    proxy_refresh, "proxy-refresh-interval", "there is no proxy";
    proxy_dial, "proxy-dial-timeout", "there is no proxy";
    proxy_write, "proxy-write-timeout", "there is no proxy";
    proxy_read, "proxy-read-timeout", "there is no proxy";
    discovery_fallback, "discovery-fallback", "there is no discovery service";
}

refused! {
    wal_dir, "wal-dir", [], "the log lies in --data-dir; put that on the disk that is meant for it";
    http_urls, "listen-client-http-urls", [], "HTTP and gRPC are served on --listen-client-urls together";
    gateway, "enable-grpc-gateway", [], "there is no JSON gateway; speak gRPC";
    reuse_port, "socket-reuse-port", [], "two members on one port would answer for each other";
    enable_v2, "enable-v2", [], "there is no v2; speak v3";
    auto_tls, "auto-tls", [], "no certificates are made here; give --cert-file and --key-file";
    peer_auto_tls, "peer-auto-tls", [], "no certificates are made here; give --peer-cert-file and --peer-key-file";
    client_crl, "client-crl-file", [], "revocation lists are not read; issue certificates that live shortly";
    peer_crl, "peer-crl-file", [], "revocation lists are not read; issue certificates that live shortly";
    peer_client_cert, "peer-client-cert-file", [], "--peer-cert-file is shown to members, as server and as client";
    peer_client_key, "peer-client-key-file", [], "--peer-key-file belongs to what is shown to members, always";
    tls_min, "tls-min-version", ["TLS1.2"], "TLS 1.2 and 1.3 are both offered";
    tls_max, "tls-max-version", ["TLS1.3"], "TLS 1.2 and 1.3 are both offered";
    rotation, "enable-log-rotation", [], "logs go to stderr; rotate them where they are kept";
    tracing, "enable-distributed-tracing" | "experimental-enable-distributed-tracing", [], "there is no tracing";
    discovery, "discovery", [], "there is no discovery service; name the members, by --initial-cluster or --discovery-srv";
    discovery_endpoints, "discovery-endpoints", [],
        "there is no discovery service; name the members, by --initial-cluster or --discovery-srv";
    discovery_token, "discovery-token", [],
        "there is no discovery service; name the members, by --initial-cluster or --discovery-srv";
    discovery_proxy, "discovery-proxy", [],
        "there is no discovery service; name the members, by --initial-cluster or --discovery-srv";
    enable_v2v3, "experimental-enable-v2v3", [], "there is no v2; speak v3";
    proxy, "proxy", [], "there is no proxy; let clients name every member";
    force_new, "force-new-cluster", [],
        "a member never forgets the others by a flag: restore a snapshot into an empty folder instead";
    no_fsync, "unsafe-no-fsync", [], "what is acknowledged is on the disk, always";
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;

    #[test]
    fn what_asks_for_nothing_is_taken_and_the_rest_is_refused_with_a_reason() {
        let parse = |flags: &str| {
            let command = Refused::augment_args(Command::new("x"));
            let found = command.try_get_matches_from(format!("x {flags}").split_whitespace()).expect("flags");
            <Refused as clap::FromArgMatches>::from_arg_matches(&found).expect("flags").check()
        };
        for fine in ["", "--auto-tls=false", "--wal-dir=", "--proxy=off", "--tls-min-version=TLS1.2"] {
            assert_eq!(parse(fine), Ok(()), "{fine}");
        }
        for (flags, flag) in [
            ("--auto-tls", "auto-tls"),
            ("--wal-dir=/x", "wal-dir"),
            ("--tls-min-version=TLS1.3", "tls-min-version"),
            ("--unsafe-no-fsync=true", "unsafe-no-fsync"),
            ("--experimental-enable-distributed-tracing", "enable-distributed-tracing"),
        ] {
            assert_eq!(parse(flags).expect_err(flags).0, flag);
        }
    }

    #[test]
    fn what_has_no_effect_is_named() {
        let command = Taken::augment_args(Command::new("x"));
        let args = ["x", "--max-wals=5", "--experimental-enable-lease-checkpoint", "--pre-vote=false"];
        let found = command.try_get_matches_from(args).expect("flags");
        let taken = <Taken as clap::FromArgMatches>::from_arg_matches(&found).expect("flags");
        let names: Vec<&str> = taken.given().into_iter().map(|(flag, _)| flag).collect();
        assert_eq!(names, ["max-wals", "pre-vote", "experimental-enable-lease-checkpoint"]);
    }
}
