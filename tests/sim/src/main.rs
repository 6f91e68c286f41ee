//! Runs seeds of the simulation; `cargo xtask sim` is the way in.

use std::process::ExitCode;

use clap::Parser;
use test_sim::planted::Planted;
use test_sim::run::Report;
use test_sim::seeds::run_many;
use test_sim::world::Settings;

/// Runs the store in a simulated world, a run for each seed.
#[derive(Parser)]
#[command(name = "sim")]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Plant a bug, to see it found.
    #[arg(long, value_enum)]
    planted: Option<Planted>,
    /// Tell of every seed, with its trace.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let settings = |seed| Settings { planted: options.planted, ..Settings::of(seed) };
    let sum = run_many(options.first_seed, options.seeds, settings, |report| {
        if options.verbose {
            let (log, short) = (report.log.join("\n"), Report { log: Vec::new(), ..report.clone() });
            println!("seed {}: trace {:016x}, {short:?}\n{log}", report.seed, report.trace);
        }
        for violation in &report.violations {
            println!("seed {}: {violation}", report.seed);
        }
        if !report.violations.is_empty() {
            println!("again: cargo xtask sim --seeds 1 --first-seed {}", report.seed);
        }
        false
    });
    println!("{sum}");
    if sum.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
