//! Scripts: commands, `----`, what they answer. `UPDATE_EXPECT=1` writes the answers anew; review them as a diff.

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::mvccpb::KeyValue;

use super::model::MemoryValues;
use super::range::select;
use super::write::{Write, WriteError};
use super::{Event, Index, Values, check};
use crate::lease::Lessor;
use crate::refused::Refused;

#[derive(Default)]
struct Script {
    index: Index,
    lessor: Lessor,
    values: MemoryValues,
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.replace("\\0", "\0"))
}

/// `name=value` among the words.
fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn number(words: &[&str], name: &str) -> i64 {
    option(words, name).map_or(0, |text| text.parse().expect("a number"))
}

fn pair(kv: &KeyValue) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let lease = if kv.lease == 0 { String::new() } else { format!(" lease={}", kv.lease) };
    format!(
        "{}={} create={} mod={} version={}{lease}",
        text(&kv.key),
        text(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    )
}

fn range_request(words: &[&str]) -> etcd::RangeRequest {
    let has = |word: &str| words.contains(&word);
    let target = match option(words, "sort") {
        Some("version") => SortTarget::Version,
        Some("create") => SortTarget::Create,
        Some("mod") => SortTarget::Mod,
        Some("value") => SortTarget::Value,
        _ => SortTarget::Key,
    };
    etcd::RangeRequest {
        key: bytes(words[1]),
        range_end: option(words, "to").map(bytes).unwrap_or_default(),
        revision: number(words, "rev"),
        limit: number(words, "limit"),
        sort_target: target as i32,
        sort_order: if has("descend") { SortOrder::Descend as i32 } else { SortOrder::None as i32 },
        keys_only: has("keys-only"),
        count_only: has("count-only"),
        min_mod_revision: number(words, "min-mod"),
        max_mod_revision: number(words, "max-mod"),
        min_create_revision: number(words, "min-create"),
        max_create_revision: number(words, "max-create"),
        serializable: false,
    }
}

fn put_request(words: &[&str]) -> etcd::PutRequest {
    etcd::PutRequest {
        key: bytes(words[1]),
        value: words
            .get(2)
            .filter(|word| !word.contains('=') && !word.starts_with("ignore"))
            .map(|word| bytes(word))
            .unwrap_or_default(),
        lease: number(words, "lease"),
        prev_kv: words.contains(&"prev"),
        ignore_value: words.contains(&"ignore-value"),
        ignore_lease: words.contains(&"ignore-lease"),
    }
}

fn delete_request(words: &[&str]) -> etcd::DeleteRangeRequest {
    let range_end = option(words, "to").map(bytes).unwrap_or_default();
    etcd::DeleteRangeRequest { key: bytes(words[1]), range_end, prev_kv: words.contains(&"prev") }
}

fn compare(words: &[&str]) -> etcd::Compare {
    use etcd::compare::{CompareResult, CompareTarget, TargetUnion};
    let number = || words[4].parse::<i64>().expect("a number");
    let (target, union) = match words[2] {
        "version" => (CompareTarget::Version, TargetUnion::Version(number())),
        "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number())),
        "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number())),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(number())),
        _ => (CompareTarget::Value, TargetUnion::Value(bytes(words[4]))),
    };
    let result = match words[3] {
        "=" => CompareResult::Equal,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        _ => CompareResult::NotEqual,
    };
    etcd::Compare {
        result: result as i32,
        target: target as i32,
        key: bytes(words[1]),
        target_union: Some(union),
        range_end: option(words, "to").map(bytes).unwrap_or_default(),
    }
}

/// `txn if KEY TARGET OP VALUE; then COMMAND; then COMMAND; else COMMAND`
fn txn_request(line: &str) -> etcd::TxnRequest {
    let mut txn = etcd::TxnRequest::default();
    for part in line.trim_start_matches("txn").split(';') {
        let words: Vec<&str> = part.split_whitespace().collect();
        let op = |words: &[&str]| {
            let request = match words[0] {
                "put" => Request::RequestPut(put_request(words)),
                "delete" => Request::RequestDeleteRange(delete_request(words)),
                _ => Request::RequestRange(range_request(words)),
            };
            etcd::RequestOp { request: Some(request) }
        };
        match words.first() {
            Some(&"if") => txn.compare.push(compare(&words)),
            Some(&"then") => txn.success.push(op(&words[1..])),
            Some(&"else") => txn.failure.push(op(&words[1..])),
            _ => {}
        }
    }
    txn
}

fn range_text(out: &mut String, rsp: &etcd::RangeResponse) {
    for kv in &rsp.kvs {
        let _infallible = writeln!(out, "{}", pair(kv));
    }
    let more = if rsp.more { " more" } else { "" };
    let _infallible = writeln!(out, "count {}{more} at {}", rsp.count, rsp.header.map_or(0, |header| header.revision));
}

impl Script {
    fn write(
        &mut self,
        run: impl FnOnce(&mut Write<'_, MemoryValues>, &mut String) -> Result<(), WriteError>,
    ) -> Result<String, Refused> {
        let mut out = String::new();
        let mut write = Write::new(&mut self.index, &mut self.lessor, &mut self.values, true);
        match run(&mut write, &mut out) {
            Ok(()) => {}
            Err(WriteError::Refused(refused)) => return Err(refused),
            Err(WriteError::Read(error)) => panic!("{error}"),
        }
        for event in write.into_events() {
            let _infallible = writeln!(out, "event {}", event_text(&event));
        }
        Ok(out)
    }

    fn run(&mut self, line: &str) -> Result<String, Refused> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "put" => {
                let req = put_request(&words);
                check::put(&req)?;
                self.write(|write, out| {
                    if let Some(kv) = write.put(&req)?.prev_kv {
                        out.push_str(&format!("prev {}\n", pair(&kv)));
                    }
                    Ok(())
                })
            }
            "delete" => {
                let req = delete_request(&words);
                check::delete_range(&req)?;
                self.write(|write, out| {
                    let rsp = write.delete_range(&req)?;
                    rsp.prev_kvs.iter().for_each(|kv| out.push_str(&format!("prev {}\n", pair(kv))));
                    out.push_str(&format!("deleted {}\n", rsp.deleted));
                    Ok(())
                })
            }
            "txn" => {
                let req = txn_request(line);
                check::txn(&req, 4)?;
                self.write(|write, out| {
                    let rsp = write.txn(&req)?;
                    out.push_str(if rsp.succeeded { "succeeded\n" } else { "failed\n" });
                    for op in &rsp.responses {
                        if let Some(etcd::response_op::Response::ResponseRange(rsp)) = &op.response {
                            range_text(out, rsp);
                        }
                    }
                    Ok(())
                })
            }
            "grant" => self.lessor.grant(words[1].parse().expect("an id"), 60).map(|()| String::new()),
            "revoke" => {
                let id = words[1].parse().expect("an id");
                self.write(|write, _| Ok(write.revoke(id)?))
            }
            "compact" => {
                self.index.compact(words[1].parse().expect("a revision"))?;
                while self.index.trim(None, usize::MAX).is_some() {}
                Ok(format!("{} keys left\n", self.index.len()))
            }
            "range" => {
                let req = range_request(&words);
                check::range(&req)?;
                let selection = select(&self.index, &req, self.index.revision())?;
                let rsp = selection.finish(|loc| self.values.read(loc)).expect("memory");
                let mut out = String::new();
                range_text(&mut out, &rsp);
                Ok(out)
            }
            other => panic!("unknown command {other}"),
        }
    }
}

fn event_text(event: &Event) -> String {
    let key = String::from_utf8_lossy(&event.key);
    let at = (event.version.main, event.version.sub);
    let before = event.prev.map_or(String::new(), |prev| format!(" was mod={}", prev.main));
    match event.is_delete() {
        true => format!("delete {key} at {at:?}{before}"),
        false => format!("put {key}={} at {at:?}{before}", String::from_utf8_lossy(&event.value)),
    }
}

fn check_script(path: &Path) {
    let text = std::fs::read_to_string(path).expect("a script");
    let mut script = Script::default();
    let mut found = String::new();
    for case in text.split("\n\n") {
        let commands = case.split("----").next().unwrap_or_default().trim();
        if commands.is_empty() {
            continue;
        }
        found.push_str(commands);
        found.push_str("\n----\n");
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            match script.run(line) {
                Ok(out) => found.push_str(&out),
                Err(refused) => found.push_str(&format!("refused: {refused}\n")),
            }
        }
        found.push('\n');
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, found.trim_end().to_owned() + "\n").expect("writing the script");
        return;
    }
    assert_eq!(text.trim_end(), found.trim_end(), "{}: UPDATE_EXPECT=1 writes it anew", path.display());
}

#[test]
fn scripts_answer_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut scripts = 0;
    for entry in std::fs::read_dir(folder).expect("testdata") {
        check_script(&entry.expect("an entry").path());
        scripts += 1;
    }
    assert!(scripts >= 4, "scripts are there");
}
