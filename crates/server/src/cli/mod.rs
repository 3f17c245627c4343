//! The command line: one file for each subcommand.
//!
//! Admin commands open the same store as the server and work beside it. Results go to standard
//! output, in columns or with `--output json` as JSON; everything else goes to standard error.
//! The exit code is 0 or 1, and 2 for a command line that can't be read.

mod account;
mod act;
mod actions;
mod audit;
mod backup;
mod call;
mod coupon;
mod doctor;
mod down;
mod engines;
mod env;
mod events;
#[cfg(feature = "failpoints")]
mod failpoints;
mod http;
mod key;
mod key_file;
mod ls;
mod output;
mod serve;
mod vpc;
mod vswitch;
mod zone;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Environment, Flags};
use crate::opening::Opened;

pub(crate) use env::url_of;
pub use output::Output;

/// Your own R-kvstore: real Redis and memcached instances behind the API of ApsaraDB for Redis.
#[derive(Debug, Parser)]
#[command(name = "ourkv", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every subcommand.
#[derive(Debug, Args)]
struct Common {
    /// TOML file with settings; OURKV_* variables and flags go before it
    #[arg(long, global = true, value_name = "FILE", env = "OURKV_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of everything that this node owns [default: ~/.local/share/ourkv/data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// `sqlite` (inside the data directory) or postgres://…; a URL with a password belongs into
    /// `OURKV_DATABASE` or the file [default: sqlite]
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Down(down::Down),
    Env(env::Env),
    Call(call::Call),
    Actions(actions::Actions),
    Ls(ls::Ls),
    Events(events::Events),
    #[command(subcommand)]
    Backup(backup::Backup),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    KeyFile(key_file::KeyFile),
    #[command(subcommand)]
    Account(account::Account),
    #[command(subcommand)]
    Zone(zone::Zone),
    #[command(subcommand)]
    Vpc(vpc::Vpc),
    #[command(subcommand)]
    Vswitch(vswitch::Vswitch),
    #[command(subcommand)]
    Coupon(coupon::Coupon),
    Engines(engines::Engines),
    Audit(audit::Audit),
    Doctor(doctor::Doctor),
    #[cfg(feature = "failpoints")]
    #[command(hide = true)]
    Failpoints(failpoints::Failpoints),
}

/// What a subcommand is given besides its own flags.
struct Context {
    config: Config,
    environment: Environment,
    output: Output,
}

impl Context {
    /// Opens the data directory and its store, which must exist.
    async fn open(&self) -> anyhow::Result<Opened> {
        Ok(Opened::existing(&self.config).await?)
    }
}

/// The program.
pub fn run() -> ExitCode {
    // What this process and its engines write is nobody else's to read. Engines inherit the mask:
    // they would make the files of their tenants' data readable to all.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    if let Err(error) = keep_memory_private() {
        output::say(&format!("ourkv: a crash may write secrets into a core dump: {error}"));
    }
    match Cli::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            output::say(&format!("ourkv: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What is in the memory of this process is in no core dump and in no debugger of its user. Engines
/// inherit the limit; a program that is started begins with a memory of its own.
fn keep_memory_private() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

impl Cli {
    fn execute(self) -> anyhow::Result<ExitCode> {
        let environment = Environment::of_process();
        let mut flags = Flags {
            data_dir: self.common.data_dir,
            database: self.common.database,
            ..Flags::default()
        };
        if let Command::Serve(serve) = &self.command {
            serve.add_flags(&mut flags);
        }
        let config = Config::load(self.common.config.as_deref(), environment.clone(), flags)?;
        let context = Context { config, environment, output: self.common.output };
        match self.command {
            Command::Serve(_) => serve::Serve::run(&context),
            command => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(command.run(&context))
            }
        }
    }
}

impl Command {
    async fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(_) => unreachable!("serve has a runtime of its own"),
            Self::Down(command) => command.run(context).await,
            Self::Env(command) => command.run(context),
            Self::Call(command) => command.run(context).await,
            Self::Actions(command) => command.run(context),
            Self::Ls(command) => command.run(context).await,
            Self::Events(command) => command.run(context).await,
            Self::Backup(command) => command.run(context).await,
            Self::Key(command) => command.run(context).await,
            Self::KeyFile(command) => command.run(context).await,
            Self::Account(command) => command.run(context).await,
            Self::Zone(command) => command.run(context).await,
            Self::Vpc(command) => command.run(context).await,
            Self::Vswitch(command) => command.run(context).await,
            Self::Coupon(command) => command.run(context).await,
            Self::Engines(command) => command.run(context).await,
            Self::Audit(command) => command.run(context).await,
            Self::Doctor(command) => return command.run(context).await,
            #[cfg(feature = "failpoints")]
            Self::Failpoints(_) => failpoints::Failpoints::run(context),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_and_flag_is_well_formed_and_explained() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{}: {}", command.get_name(), argument);
            }
            command.get_subcommands().for_each(check);
        }
        let mut cli = Cli::command();
        cli.build();
        check(&cli);
        cli.debug_assert();
    }

    #[test]
    fn the_list_of_commands_is_deliberate() {
        fn names(command: &clap::Command, prefix: &str, list: &mut Vec<String>) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let name = format!("{prefix}{}", sub.get_name());
                names(sub, &format!("{name} "), list);
                list.push(name);
            }
        }
        let mut list = Vec::new();
        names(&Cli::command(), "", &mut list);
        list.sort();
        insta::assert_snapshot!(list.join("\n"));
    }
}
