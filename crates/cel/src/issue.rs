//! What is wrong with an expression, and where in it.

use std::fmt;

/// One thing that keeps an expression from being compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The byte of the text at which it was seen.
    pub at: u32,
    pub text: String,
}

impl Issue {
    pub(crate) fn new(at: u32, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }

    fn show(&self, source: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = (self.at as usize).min(source.len());
        let before = source.get(..at).unwrap_or(source);
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        let shown = source.split('\n').nth(line).unwrap_or_default();
        let dots = ".".repeat(column);
        write!(f, "ERROR: <input>:{}:{}: {}\n | {shown}\n | {dots}^", line + 1, column + 1, self.text)
    }
}

/// Everything that is wrong with an expression; written as clients of Kubernetes read it, each with the line and a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issues {
    pub source: String,
    pub all: Vec<Issue>,
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.all.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            issue.show(&self.source, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}
