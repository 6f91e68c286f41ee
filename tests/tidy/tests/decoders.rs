//! Every decoder of bytes from outside has a fuzz target.
//!
//! A source that calls a decoder (JSON, YAML, protobuf, tar, tokens, ...) stands in [`ROWS`], with the target that throws
//! damaged input at it, or with the reason why its bytes do not come from outside. A new decoder has no row, and fails here.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where damaged input is thrown at a decoder: a file, and a test in it.
enum Proof {
    Target(&'static str, &'static str),
    /// Not from outside: why.
    Own(&'static str),
}

use Proof::{Own, Target};

const GOLDENS: &str = "tests/goldens/tests/fuzz.rs";
const ANNOTATIONS: &str = "crates/api/src/validate/annotation.rs";
const OBJECTS: &str = "tests/goldens/tests/any_object.rs";
const LAWS: &str = "crates/api/src/structural/tests/laws.rs";
const KUBELET: &str = "crates/kubelet/tests/fuzz.rs";
const BBOLT: &str = "crates/bbolt/src/fuzz.rs";
const STORE: &str = "crates/store/src/fuzz.rs";
const APISERVER: &str = "crates/apiserver/src/fuzz.rs";
const OTHERS: &str = "crates/apiserver/src/admit/others/fuzz.rs";
const REST: &str = "crates/apiserver/src/rest/fuzz.rs";
const STREAMS: &str = "crates/apiserver/src/rest_streams/fuzz.rs";
const KEELCTL: &str = "crates/keelctl/src/fuzz.rs";
const DNS: &str = "crates/dns/src/fuzz.rs";
const KEEPSAKE: &str = "crates/store/src/keepsake.rs";
const CRASH: &str = "crates/store/tests/crash.rs";
/// Objects in the store were written by an apiserver; what reads them reads them as these targets do.
const ENVELOPES: Proof = Target(GOLDENS, "envelopes");

/// Sources below `crates/` that call a decoder, or are one.
const ROWS: &[(&str, Proof)] = &[
    ("api/src/apply/applied.rs", Target(GOLDENS, "configurations")),
    ("api/src/apply/fields_v1.rs", Target(GOLDENS, "sets_of_fields")),
    ("api/src/apply/last_applied.rs", Target(GOLDENS, "configurations")),
    ("api/src/apply/owners.rs", Target(GOLDENS, "sets_of_fields")),
    ("api/src/apply/scale.rs", Target(GOLDENS, "sets_of_fields")),
    ("api/src/apply/shape.rs", Own("defaults that our own schema tables hold")),
    ("api/src/apply/updated.rs", Target(GOLDENS, "json_of_each_kind")),
    ("api/src/convert.rs", ENVELOPES),
    ("api/src/convert/autoscaler.rs", Target(GOLDENS, "annotations_of_autoscalers")),
    ("api/src/convert/autoscaler/behavior.rs", Target(GOLDENS, "annotations_of_autoscalers")),
    ("api/src/patch.rs", Target(GOLDENS, "patches")),
    ("api/src/quantity.rs", Target(GOLDENS, "texts")),
    ("api/src/selector/fields.rs", Target(GOLDENS, "selectors")),
    ("api/src/selector/labels.rs", Target(GOLDENS, "selectors")),
    ("api/src/structural/json_path/read.rs", Target(LAWS, "any_text_is_a_path_and_a_pattern_or_neither")),
    ("api/src/structural/node.rs", Target(LAWS, "what_is_pruned_and_filled_stays_so")),
    ("api/src/structural/openapi.rs", Target(LAWS, "any_schema_is_told_to_clients")),
    ("api/src/validate/annotation.rs", Target(ANNOTATIONS, "any_annotation_is_judged")),
    ("api/src/validate/config.rs", Target(GOLDENS, "json_of_each_kind")),
    ("api/src/validate/schema.rs", Target(OBJECTS, "any_object_is_judged")),
    ("api/src/yaml.rs", Target(GOLDENS, "yaml")),
    ("apiserver/src/admit/others.rs", Target(GOLDENS, "sets_of_fields")),
    ("apiserver/src/admit/others/observe.rs", ENVELOPES),
    ("apiserver/src/admit/others/pair.rs", Target(GOLDENS, "json_of_each_kind")),
    ("apiserver/src/admit/others/policy/params.rs", Own("reads the JSON that our own encoder wrote")),
    ("apiserver/src/admit/others/review.rs", Target(OTHERS, "answers_of_webhooks")),
    ("apiserver/src/admit/others/webhooks.rs", Target(OTHERS, "answers_of_webhooks")),
    (
        "apiserver/src/custom/conversion.rs",
        Target("crates/apiserver/src/custom/conversion.rs", "answers_of_any_bytes_are_taken_or_refused"),
    ),
    ("apiserver/src/admit/view.rs", ENVELOPES),
    ("apiserver/src/aggregate.rs", ENVELOPES),
    ("apiserver/src/aggregate/availability.rs", Target(GOLDENS, "json_of_each_kind")),
    (
        "apiserver/src/aggregate/openapi.rs",
        Target("crates/apiserver/src/aggregate/openapi.rs", "documents_of_others_may_be_anything"),
    ),
    ("apiserver/src/allocate.rs", ENVELOPES),
    ("apiserver/src/allocate/bitmap.rs", Target(GOLDENS, "stored_sets_of_numbers")),
    ("apiserver/src/allocate/cluster_ip.rs", ENVELOPES),
    ("apiserver/src/allocate/node_port.rs", Target(GOLDENS, "stored_sets_of_numbers")),
    ("apiserver/src/audit/event.rs", Target(APISERVER, "objects_in_audit_events")),
    ("apiserver/src/audit/policy.rs", Own("a file of the administrator's")),
    ("apiserver/src/audit/tell.rs", Own("reads the Status that this process wrote")),
    ("apiserver/src/authenticate.rs", ENVELOPES),
    ("apiserver/src/authenticate/token.rs", Target(APISERVER, "service_account_tokens")),
    ("apiserver/src/authenticate/token.rs", Target(APISERVER, "claims_of_signed_tokens")),
    ("apiserver/src/custom/body.rs", Target(APISERVER, "custom_objects")),
    ("apiserver/src/custom/follow/pass.rs", ENVELOPES),
    ("apiserver/src/custom/stored.rs", Target(APISERVER, "custom_objects")),
    ("apiserver/src/discovery/tests.rs", Own("reads our own documents back")),
    ("apiserver/src/authorize/observe.rs", ENVELOPES),
    ("apiserver/src/fairness/observe.rs", ENVELOPES),
    ("apiserver/src/grpc/encode.rs", Target(GOLDENS, "objects_in_any")),
    ("apiserver/src/grpc/resources.rs", Own("joins parts that this process encoded")),
    ("apiserver/src/grpc/shared.rs", Target(GOLDENS, "requests_of_the_api")),
    ("apiserver/src/grpc/status.rs", Own("its tests read our own errors back")),
    ("apiserver/src/openapi/custom.rs", ENVELOPES),
    ("apiserver/src/openapi/schema.rs", Own("defaults in our own schema tables")),
    ("apiserver/src/openapi/tests.rs", Own("reads our own documents back")),
    ("apiserver/src/outbound/resolve.rs", ENVELOPES),
    ("apiserver/src/registry.rs", ENVELOPES),
    ("apiserver/src/registry/convert.rs", Own("its test reads our own bytes back")),
    ("apiserver/src/rest/body.rs", Target(REST, "bodies_of_requests")),
    ("apiserver/src/rest/encode.rs", Target(REST, "versions_put_into_objects")),
    ("apiserver/src/rest/table.rs", Own("reads the JSON that our own encoder wrote")),
    ("apiserver/src/rest/yaml.rs", Target(REST, "bodies_of_requests")),
    ("apiserver/src/rest_streams/channel.rs", Target(STREAMS, "messages_of_channels")),
    ("apiserver/src/rest_streams/log_options.rs", Target(STREAMS, "options_of_streams")),
    ("apiserver/src/rest_streams/options.rs", Target(STREAMS, "options_of_streams")),
    ("apiserver/src/rest_streams/resize.rs", Target(STREAMS, "sizes_of_a_terminal")),
    ("apiserver/src/rest_streams/spdy/frame.rs", Target(STREAMS, "frames_of_spdy")),
    ("apiserver/src/rest_streams/spdy/headers.rs", Target(STREAMS, "blocks_of_headers")),
    ("apiserver/src/rest_streams/status.rs", Own("its tests read our own bytes back")),
    ("apiserver/src/verbs/apply.rs", Target(GOLDENS, "configurations")),
    ("apiserver/src/verbs/decode.rs", Target(GOLDENS, "objects_in_any")),
    ("apiserver/src/verbs/list.rs", Target(APISERVER, "continue_tokens")),
    ("apiserver/src/verbs/page_token.rs", Target(APISERVER, "continue_tokens")),
    ("apiserver/src/verbs/patch.rs", Target(GOLDENS, "patches")),
    ("bbolt/src/format.rs", Target(BBOLT, "damaged_databases_end")),
    ("bbolt/src/read.rs", Target(BBOLT, "damaged_databases_end")),
    ("bbolt/src/read.rs", Target(BBOLT, "loops_and_promises_are_refused")),
    ("cel/src/parse.rs", Target("crates/cel/src/tests/hostile.rs", "damaged_texts_end")),
    ("cel/src/parse/text.rs", Target("crates/cel/src/tests/hostile.rs", "damaged_texts_end")),
    ("client/src/config/kubeconfig.rs", Target(GOLDENS, "kubeconfigs")),
    ("client/src/dynamic.rs", Target(GOLDENS, "objects_in_any")),
    ("client/src/tls.rs", Target(GOLDENS, "kubeconfigs")),
    ("client/src/error.rs", Target(GOLDENS, "statuses_in_errors")),
    ("controller-manager/src/controllers/garbage/follow.rs", Target(GOLDENS, "protobuf_of_one_kind_read_as_another")),
    ("daemon/src/cli/argv.rs", Target("crates/daemon/src/fuzz.rs", "command_lines")),
    ("daemon/src/cli/file.rs", Target("crates/daemon/src/fuzz.rs", "config_files")),
    ("daemon/src/serve/direct.rs", Target("crates/daemon/src/fuzz.rs", "messages_of_grpc")),
    ("daemon/src/tls/pem.rs", Target("crates/daemon/src/fuzz.rs", "certificate_files")),
    ("dns/src/answer.rs", Target(DNS, "questions_of_any_bytes")),
    ("dns/src/answer.rs", Target(DNS, "names_of_any_bytes")),
    ("dns/src/forward.rs", Target(DNS, "resolv_conf_files")),
    ("keelctl/src/command/config.rs", Target(GOLDENS, "kubeconfigs")),
    ("keelctl/src/command/cp.rs", Target(KEELCTL, "archives_from_a_container")),
    ("keelctl/src/kubeconfig.rs", Target(KEELCTL, "kubeconfig_files")),
    ("keelctl/src/kubeconfig/exec.rs", Target(KEELCTL, "credentials_from_a_program")),
    ("keelctl/src/manifest/yaml.rs", Target(KEELCTL, "manifests")),
    ("keelctl/src/merge.rs", Target(KEELCTL, "what_was_applied_last")),
    ("keelctl/src/output/filter.rs", Target(KEELCTL, "json_paths")),
    ("keelctl/src/output/jsonpath.rs", Target(KEELCTL, "json_paths")),
    ("keelctl/src/remote.rs", Target(GOLDENS, "objects_in_any")),
    ("kubelet/src/confine.rs", Target(KUBELET, "seccomp_profiles_of_the_node")),
    ("kubelet/src/logs/control.rs", Target(KUBELET, "lines_of_the_log_writers_socket")),
    ("kubelet/src/logs/format.rs", Target(KUBELET, "log_records")),
    ("kubelet/src/logs/writer.rs", Target(KUBELET, "lines_of_the_log_writers_socket")),
    ("kubelet/src/record.rs", Target(KUBELET, "records_of_pods")),
    ("kubelet/src/runtime/container.rs", Own("a specification that this kubelet made, kept by containerd")),
    ("kubelet/src/runtime/events.rs", Target("crates/kubelet/src/runtime/events/fuzz.rs", "events_of_containerd")),
    ("kubelet/src/runtime/image.rs", Target(KUBELET, "manifests_and_indexes")),
    ("kubelet/src/runtime/image.rs", Target(KUBELET, "configurations")),
    ("kubelet/src/runtime/pull.rs", Target(KUBELET, "manifests_and_indexes")),
    ("kubelet/src/runtime/reference.rs", Target(KUBELET, "references")),
    ("kubelet/src/runtime/registry.rs", Target(KUBELET, "pull_secrets")),
    ("proto/src/any.rs", Target(GOLDENS, "objects_in_any")),
    ("proto/src/custom.rs", Target(APISERVER, "custom_objects")),
    ("proto/src/envelope.rs", ENVELOPES),
    ("proto/src/json.rs", Target(GOLDENS, "json_of_each_kind")),
    ("proto/src/json/custom.rs", Target(APISERVER, "custom_objects")),
    ("proto/src/json/decode.rs", Target(GOLDENS, "objects_with_one_value_replaced")),
    ("proto/src/json/special.rs", Target(GOLDENS, "json_of_each_kind")),
    ("proto/src/json/transcode.rs", Target(GOLDENS, "protobuf_of_each_kind")),
    ("proto/src/json/transcode/wire.rs", Target(GOLDENS, "protobuf_of_one_kind_read_as_another")),
    ("proto/src/rpc_status.rs", Target(GOLDENS, "statuses_in_errors")),
    ("proto/src/time.rs", Target(GOLDENS, "json_of_each_kind")),
    ("proxy/src/listing.rs", Target("crates/proxy/src/fuzz.rs", "listings")),
    ("store/src/archive/read.rs", Target(STORE, "archives_of_any_bytes_end")),
    ("store/src/archive/writer.rs", Target(STORE, "archives_of_any_bytes_end")),
    ("store/src/auth/jwt.rs", Target(STORE, "damaged_tokens_name_nobody_else")),
    ("store/src/discovery.rs", Target(DNS, "resolv_conf_files")),
    ("store/src/engine/checkpoint.rs", Target(STORE, "frames_and_checkpoints_of_any_bytes_end")),
    ("store/src/engine/frame.rs", Target(STORE, "frames_and_checkpoints_of_any_bytes_end")),
    ("store/src/keepsake.rs", Target(KEEPSAKE, "what_was_kept_is_there_again_and_damage_is_seen")),
    ("store/src/mvcc/check.rs", Target(STORE, "requests_of_etcds_clients_are_taken_or_refused")),
    ("store/src/raft/types.rs", Target(STORE, "raft_messages_of_any_bytes_end")),
    ("store/src/restore/load.rs", Target(STORE, "backups_of_any_content_are_read_or_refused")),
    ("store/src/serve/watch/answer.rs", Own("simulated clients read the session's own bytes back")),
    ("store/src/snapshot.rs", Target(STORE, "a_snapshot_of_any_bytes_is_refused_and_the_old_state_stays")),
    ("store/src/wal.rs", Target(CRASH, "a_flipped_bit_loses_nothing_in_silence")),
    ("store/src/wal/open.rs", Target(CRASH, "a_flipped_bit_loses_nothing_in_silence")),
];

/// What calls a decoder looks like.
const CALLS: [&str; 9] = [
    "serde_json::from_slice",
    "serde_json::from_str",
    "serde_yaml::from_",
    "json::from_slice",
    "Message::decode(",
    "tar::Archive::new",
    "resolv_conf::Config::parse",
    "jsonwebtoken::decode",
    "pem_slice_iter",
];
/// Crates whose bytes are their developer's own.
const TOOLS: [&str; 3] = ["codegen", "testkit", "xtask"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a source calls a decoder: one of [`CALLS`], or `decode` of some type (`Pod::decode(bytes)`).
fn decodes(text: &str) -> bool {
    let of_a_type = text.match_indices("::decode(").any(|(at, _)| {
        let before = text[..at].rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap();
        before.starts_with(|letter: char| letter.is_ascii_uppercase())
    });
    of_a_type || CALLS.iter().any(|call| text.contains(call))
}

fn is_a_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    matches!(&*stem, "fuzz" | "testing" | "fake")
        || stem.ends_with("tests")
        || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn every_decoder_has_a_row() {
    let mut without = Vec::new();
    let crates = root().join("crates");
    for name in fs::read_dir(&crates).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let mut found = Vec::new();
        if !TOOLS.contains(&name.as_str()) && crates.join(&name).join("src").is_dir() {
            sources(&crates.join(&name).join("src"), &mut found);
        }
        for path in found.into_iter().filter(|path| !is_a_test(path)) {
            let short = path.strip_prefix(&crates).unwrap().to_str().unwrap();
            if decodes(&fs::read_to_string(&path).unwrap()) && !ROWS.iter().any(|(file, _)| *file == short) {
                without.push(short.to_owned());
            }
        }
    }
    assert!(without.is_empty(), "these decode and have no fuzz target in ROWS, or a reason: {without:#?}");
}

#[test]
fn every_target_of_a_row_is_there() {
    let mut missing = BTreeSet::new();
    for (file, proof) in ROWS {
        if !root().join("crates").join(file).is_file() {
            missing.insert(format!("crates/{file} is gone: its row can go, too"));
        }
        match proof {
            Target(file, test) => {
                let text = fs::read_to_string(root().join(file)).unwrap_or_default();
                if !text.contains(&format!("fn {test}(")) {
                    missing.insert(format!("{file} has no target {test}"));
                }
            }
            Own(reason) => assert!(reason.len() > 10, "{file} needs a reason"),
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
