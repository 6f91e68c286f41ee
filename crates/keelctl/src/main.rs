//! The companion command line.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use keelctl::cli::Cli;
use keelctl::error;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => {
            // Help goes to standard output with 0; mistakes to standard error with 1, as kubectl has it.
            let _ = problem.print();
            return ExitCode::from(u8::from(problem.use_stderr()));
        }
    };
    init_logging(cli.global.verbosity);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => {
            keelctl::complain!("error: starting the runtime: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(Box::pin(cli.command.run(&cli.global)));
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if is_broken_pipe(&problem) => ExitCode::SUCCESS,
        Err(problem) => {
            let text = error::text(&problem);
            if !text.is_empty() {
                keelctl::complain!("{text}");
            }
            ExitCode::from(error::code(&problem))
        }
    }
}

/// The reader of our output went away, as `| head` does.
fn is_broken_pipe(problem: &anyhow::Error) -> bool {
    problem
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn init_logging(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1..=3 => "keelctl=info,client=info",
        4..=6 => "keelctl=debug,client=debug,tonic=info,hyper=info",
        _ => "trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It would tell of a closed standard error there, by a panic.
        .log_internal_errors(false)
        .init();
}
