//! How far a check is: one line that is written over, on terminals only.

use std::io::{IsTerminal, Write};

const BAR: usize = 30;

pub struct Progress {
    /// What stands there; none where nobody looks.
    shown: Option<String>,
}

impl Progress {
    pub fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal().then(String::new) }
    }

    pub fn show(&mut self, done: u64, of: u64, unit: &str) {
        let Some(shown) = &mut self.shown else { return };
        let next = line(done, of, unit);
        if next != *shown {
            *shown = next;
            draw(&format!("\r{shown}"));
        }
    }

    /// Leaves the line as it is.
    pub fn end(self) {
        if self.shown.is_some_and(|shown| !shown.is_empty()) {
            draw("\n");
        }
    }
}

/// A terminal that went away ends nothing.
fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn line(done: u64, of: u64, unit: &str) -> String {
    let part = if of == 0 { 1.0 } else { done as f64 / of as f64 };
    let full = ((part * BAR as f64) as usize).min(BAR);
    format!("{done}{unit} / {of}{unit} [{}{}] {:3.0} %", "=".repeat(full), " ".repeat(BAR - full), part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_keeps_its_length_at_both_ends() {
        assert_eq!(line(0, 60, "s"), format!("0s / 60s [{}]   0 %", " ".repeat(30)));
        assert_eq!(line(30, 60, "s"), format!("30s / 60s [{}{}]  50 %", "=".repeat(15), " ".repeat(15)));
        assert_eq!(line(10, 10, ""), format!("10 / 10 [{}] 100 %", "=".repeat(30)));
        assert!(line(0, 0, "").contains("100 %"));
    }
}
