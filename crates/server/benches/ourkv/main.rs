//! What `make bench` measures: how far ourkv is from the floor that the engines themselves set.
//!
//! Every figure is taken in one run, beside its floor, on the real release binary and real
//! engines; only the throughput of figure (f) runs on an in-memory substrate, in a process of its
//! own. `docs/benchmarks.md` says what each figure means.
//!
//! `make chaos` and `make soak` are [`chaos`]: `docs/reliability.md`.
//!
//! Everything is bounded in count and time, stays on loopback addresses, and is ended by pid
//! whatever happens.

mod backup;
mod bare;
mod chaos;
mod client;
mod creation;
mod crowd;
mod fake_server;
mod ground;
mod http;
mod load;
mod memory;
mod neighbour;
mod pong;
mod process;
mod sample;
mod server;
mod start;
mod table;
mod throughput;

use std::path::Path;
use std::process::ExitCode;

use ground::{Ground, LONGEST_RUN, say};
use table::Table;
use tikv_jemallocator::Jemalloc;

/// As in the program: a part of it runs in this one, too.
#[global_allocator]
static MEMORY: Jemalloc = Jemalloc;

/// One figure: the letters it is chosen by, and what measures it.
type Figure = (&'static str, fn(&Ground, &mut Table) -> anyhow::Result<()>);

const FIGURES: &[Figure] = &[
    ("ab", creation::measure),
    ("ce", crowd::measure),
    ("d", start::measure),
    ("f", throughput::measure),
    ("ghi", backup::measure),
    ("j", neighbour::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir, listen] = &arguments[..]
        && first == fake_server::ARGUMENT
    {
        return ended(fake_server::run(Path::new(dir), listen));
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        say("nothing is measured unless `cargo bench` asks for it");
        return ExitCode::SUCCESS;
    }
    let mut words = arguments.iter().filter(|argument| !argument.starts_with('-'));
    if words.next().is_some_and(|word| word == chaos::ARGUMENT) {
        return ended(survive(&words.cloned().collect::<Vec<_>>()));
    }
    let chosen: String =
        arguments.iter().filter(|argument| !argument.starts_with('-')).cloned().collect();
    ended(run(&chosen))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs chaos instead of figures.
fn survive(arguments: &[String]) -> anyhow::Result<()> {
    let options = chaos::Options::parse(arguments)?;
    ground::watch_signals(options.longest())?;
    chaos::run(&Ground::claim()?, options)
}

/// Measures the chosen figures, all if none is chosen. A figure that can't be taken does not keep
/// the others from being taken, nor from being printed.
fn run(chosen: &str) -> anyhow::Result<()> {
    ground::watch_signals(LONGEST_RUN)?;
    let ground = Ground::claim()?;
    let mut table = Table::default();
    let mut failed = Vec::new();
    for (letters, measure) in FIGURES {
        let wanted = chosen.is_empty() || letters.chars().any(|letter| chosen.contains(letter));
        if wanted && let Err(error) = measure(&ground, &mut table) {
            failed.push(format!("figure {letters}: {error:#}"));
        }
    }
    drop(ground);
    table.print()?;
    if failed.is_empty() { Ok(()) } else { anyhow::bail!("{}", failed.join("\n")) }
}
