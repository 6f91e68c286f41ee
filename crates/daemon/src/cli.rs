//! Flags with upstream's names, and a YAML config file with the same settings.
//!
//! Every flag has a config key: its name in camel case (`leaderElect`) or as it is (`leader-elect`). A flag on the
//! command line wins over the file, the file over the environment. Unknown flags and keys are refused with the nearest
//! valid name. As with Go's flags, booleans take `--flag`, `--flag=true` and `--flag=false`.

mod argv;
mod duration;
mod file;
mod suggest;
pub mod taken;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Command};

pub use duration::{duration, seconds_of};

/// A daemon's flags: a clap parser that flattens [`Common`].
pub trait Flags: clap::Parser {
    /// The settings that every process has.
    fn common(&self) -> &Common;
}

/// The settings that every process has.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Common {
    /// YAML file with the same settings as the flags, keys in camel case; a flag wins over the file
    #[arg(long, visible_alias = "config-file", value_name = "FILE", help_heading = "Process")]
    pub config: Option<PathBuf>,
    /// How much to log: 0 to 3 normal, 4 debug, 6 trace, 8 libraries too
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0, help_heading = "Process")]
    pub v: u8,
    /// text or json; default: text on a terminal, json otherwise
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], help_heading = "Process")]
    pub logging_format: Option<String>,
    /// Log filter by module, as RUST_LOG writes it: info,store=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", help_heading = "Process")]
    pub log_filter: Option<String>,
}

/// Why flags or a config file were refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// clap's refusal, or its answer to --help and --version.
    #[error("{0}")]
    Clap(#[from] clap::Error),
    /// A flag that does not exist.
    #[error("unknown flag {flag}{}; --help lists all flags", suggest::phrase(nearest))]
    UnknownFlag {
        /// As it was written.
        flag: String,
        /// The most similar valid one.
        nearest: Option<String>,
    },
    /// The config file cannot be read.
    #[error("cannot read the config file {}: {source}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The config file is not YAML, or not a map.
    #[error("config file {}: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where known.
        reason: String,
    },
    /// A key that is no setting.
    #[error("config file {}{}: unknown key {key:?}{}", path.display(), line.map(|n| format!(", line {n}")).unwrap_or_default(), suggest::phrase(nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Where the key stands.
        line: Option<usize>,
        /// The key.
        key: String,
        /// The most similar valid one.
        nearest: Option<String>,
    },
}

/// Parses the process's arguments; on refusal (or --help, --version) prints, and returns the exit code.
pub fn parse<T: clap::Parser>() -> Result<T, ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let program = args.first().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
    parse_from(args).map_err(|error| match error {
        Error::Clap(error) => {
            let _closed_terminal = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        error => {
            let program = program.rsplit('/').next().unwrap_or_default();
            let _closed_terminal =
                std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{program}: {error}\n"));
            ExitCode::from(2)
        }
    })
}

/// Parses `args` (the program's name first) and the config file they name.
pub fn parse_from<T: clap::Parser>(args: Vec<OsString>) -> Result<T, Error> {
    let command = adapt(T::command());
    let mut args = argv::normalize(&command, args)?;
    let mut config_note = None;
    if let Some(path) = argv::value(&args, &["config", "config-file"]) {
        let path = PathBuf::from(path);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::ReadConfig { path: path.clone(), source })?;
        let from_file = file::arguments(&command, &path, &text, &|flag| argv::given(&args, flag))?;
        let at = args.len().min(1);
        args.splice(at..at, from_file.into_iter().map(OsString::from));
        config_note = Some(path);
    }
    let matches = command.try_get_matches_from(args).map_err(|error| match (&config_note, error.use_stderr()) {
        (Some(path), true) => Error::BadConfig {
            path: path.clone(),
            reason: format!("with the flags beside it: {}", error.to_string().trim_start_matches("error: ")),
        },
        _ => Error::Clap(error),
    })?;
    Ok(T::from_arg_matches(&matches)?)
}

/// The flags that `--help` shows without a word on them, or in no group of their own: for the tests of a daemon's flags.
pub fn unexplained<T: clap::Parser>() -> Vec<String> {
    let command = T::command();
    command.clone().debug_assert();
    let is_usual = |arg: &clap::Arg| matches!(arg.get_id().as_str(), "help" | "version");
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional() && !is_usual(arg));
    shown
        .filter(|arg| {
            let grouped = arg.get_help_heading().is_some_and(|heading| !heading.is_empty() && heading != "Options");
            !grouped || arg.get_help().is_none_or(|help| help.to_string().trim().is_empty())
        })
        .map(|arg| argv::longs(arg).first().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}")))
        .collect()
}

/// Go's way with booleans, a version text, and no abbreviations.
fn adapt(command: Command) -> Command {
    let command = command.version(crate::version::long()).args_override_self(true).mut_args(|arg| {
        let switch = matches!(arg.get_action(), ArgAction::SetTrue);
        if !switch || arg.get_long().is_none() {
            return arg;
        }
        arg.action(ArgAction::Set)
            .value_parser(BoolishValueParser::new())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .value_name("true|false")
            .hide_possible_values(true)
    });
    command.mut_subcommands(adapt)
}

#[cfg(test)]
mod tests;
