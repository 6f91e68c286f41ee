//! Live progress: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Steps, one after the other, each with its time.
pub struct Progress {
    bar: Option<ProgressBar>,
    current: Option<(String, Instant)>,
}

impl Progress {
    /// On a terminal a spinner shows the step that runs.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, current: None }
    }

    /// Ends the step before and begins one.
    pub fn step(&mut self, text: &str) {
        self.finish_step();
        self.current = Some((text.to_owned(), Instant::now()));
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => testkit::complain!("  … {text}"),
        }
    }

    /// Tells how the step goes on; without a terminal only changes are worth a line, so callers pass changes only.
    pub fn detail(&self, text: &str) {
        let Some((step, _)) = &self.current else { return };
        match &self.bar {
            Some(bar) => bar.set_message(format!("{step}: {text}")),
            None => testkit::complain!("    {text}"),
        }
    }

    /// Ends the step that runs, as done.
    pub fn finish_step(&mut self) {
        if let Some((text, since)) = self.current.take() {
            self.line(&format!("  ✓ {text} ({:.1} s)", since.elapsed().as_secs_f32()));
        }
    }

    /// Prints a line that stays.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => testkit::complain!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Some((text, _)) = self.current.take() {
            testkit::complain!("  ✗ {text}");
        }
    }
}
