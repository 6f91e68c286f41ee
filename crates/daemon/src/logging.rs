//! Logs on stderr: human text on a terminal, JSON lines otherwise.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::Common;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for the process. A second call changes nothing (tests start several daemons in one process).
pub fn init(options: &Common) {
    let format = match options.logging_format.as_deref() {
        Some("json") => Format::Json,
        Some(_) => Format::Text,
        None if std::io::stderr().is_terminal() => Format::Text,
        None => Format::Json,
    };
    let filter = filter(options.v, options.log_filter.as_deref());
    // A daemon outlives who reads its log; told of on standard error, a closed one would end the task that logs by a panic.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let started = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// Upstream's `-v` levels as a filter; libraries stay quiet until level 8. An explicit filter wins.
fn filter(v: u8, explicit: Option<&str>) -> EnvFilter {
    if let Some(filter) = explicit.and_then(|text| EnvFilter::try_new(text).ok()) {
        return filter;
    }
    EnvFilter::new(directives(v))
}

fn directives(v: u8) -> &'static str {
    match v {
        0..=3 => "info,h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,rustls=warn,openraft=error",
        4..=5 => "debug,h2=warn,hyper=warn,hyper_util=warn,tonic=info,tower=warn,rustls=warn,openraft=info",
        6..=7 => "trace,h2=warn,hyper=info,hyper_util=info,tonic=debug,tower=warn,rustls=info,openraft=debug",
        _ => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_a_valid_filter() {
        for v in 0..=9 {
            EnvFilter::try_new(directives(v)).expect("a valid filter");
        }
    }

    #[test]
    fn explicit_filter_wins_and_nonsense_is_ignored() {
        assert_eq!(filter(0, Some("store=trace")).to_string(), "store=trace");
        assert!(filter(0, Some("a=b=c=")).to_string().contains("info"));
    }
}
