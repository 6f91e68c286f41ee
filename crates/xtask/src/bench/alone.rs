//! Benches of one daemon's core alone: programs of `tests/bench`. They need no cluster.

use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::build;

/// Builds and runs `keelson-bench-NAME`; shows its JSON lines, and after them the same as a table.
pub fn run(name: &str) -> Result<()> {
    let program = build::tool("test-bench", &format!("keelson-bench-{name}"))?;
    let text = build::output_of(&mut Command::new(program))?;
    testkit::say!("{}", text.trim_end());
    let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    testkit::say!("\n{}", table(&rows).trim_end());
    Ok(())
}

/// The columns of the first row, but for the bench's name.
fn table(rows: &[Value]) -> String {
    let Some(first) = rows.first().and_then(Value::as_object) else { return String::new() };
    let columns: Vec<&String> = first.keys().filter(|key| *key != "bench").collect();
    let line = |cells: Vec<String>| cells.iter().map(|cell| format!("{cell:>18}")).collect::<String>() + "\n";
    let cell = |value: &Value| match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!("{number:.4}"),
        None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    let head = line(columns.iter().map(|column| (*column).clone()).collect());
    rows.iter().fold(head, |table, row| table + &line(columns.iter().map(|column| cell(&row[*column])).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_has_the_figures_of_every_row() {
        let rows = [json!({"bench": "x", "nodes": 5, "ms": 0.12345}), json!({"bench": "x", "nodes": 6, "ms": 2.0})];
        let words: Vec<String> = table(&rows).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["ms", "nodes", "0.1235", "5", "2.0000", "6"]);
        assert_eq!(table(&[]), "");
    }
}
