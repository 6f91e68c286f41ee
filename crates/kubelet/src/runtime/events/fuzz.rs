//! Events of any bytes: containerd sends them, whatever it is.

use prost::Message;
use testkit::fuzz::damaged;

use super::*;

#[test]
fn events_of_containerd() {
    let exited_at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 });
    let exit = TaskExit { container_id: "c".into(), id: "c".into(), pid: 7, exit_status: u32::MAX, exited_at };
    let (exit, oom) = (exit.encode_to_vec(), TaskOom { container_id: "c".into() }.encode_to_vec());
    damaged(3_000, &[&exit, &oom], |bytes| {
        for kind in ["containerd.events.TaskExit", "types.example/containerd.events.TaskOOM", "TaskStart", "", "/."] {
            let any = prost_types::Any { type_url: kind.into(), value: bytes.to_vec() };
            match decode(&any) {
                Some(TaskEvent::Exited { .. }) => assert!(kind.ends_with("Exit")),
                Some(TaskEvent::OutOfMemory { .. }) => assert!(kind.ends_with("OOM")),
                Some(other) => panic!("{other:?} is none of containerd's"),
                None => {}
            }
        }
    });
}
