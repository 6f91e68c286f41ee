//! The decoder that knows only the recorded facts reads what a real server sent: so it may judge ours (tests/rest/protobuf.rs).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use test_goldens::decode::{Facts, plain};
use test_goldens::{difference, read};

#[test]
fn protobuf_of_a_real_server_is_its_json() {
    let facts = Facts::read();
    let mut read_rows = 0;
    for line in read("storage/objects.jsonl").lines() {
        let row: Value = serde_json::from_str(line).expect("facts hold valid JSON");
        let Some(text) = row["served_protobuf_base64"].as_str() else { continue };
        let found = facts.answer(&STANDARD.decode(text).expect("valid base64"));
        let wanted = plain(row["served_json"].clone());
        assert_eq!(difference("", &wanted, &found), None, "{}", row["path"]);
        read_rows += 1;
    }
    assert!(read_rows > 190, "only {read_rows} objects were served as protobuf");
}
