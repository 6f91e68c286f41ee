//! Commands whose reader went away (`cargo xtask status | head -1`).

use std::process::Command;

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["status", "--dir", "/nonexistent/keelson"]).stdout(closed.try_clone().unwrap()).stderr(closed);
    assert_eq!(command.status().unwrap().code(), Some(0));
}
