//! Automation of the project that needs more than a line of the Makefile: `cargo xtask <command>`.
//!
//! The command line is here; each command's work is in the module of its name.

#![expect(clippy::print_stdout, reason = "a command-line tool answers on standard output")]

pub mod answers;
pub mod binary;
mod cache;
mod duels;
mod instructions;
mod origin;
mod peers;
mod readers;
mod shell;
mod subjects;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

/// Automation of the Mainstay project.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the figures of the pages under docs/answers anew, from the reports of the lab
    Answers,
    /// Compare Mainstay with other programs on the same work; the machine must be otherwise idle
    Duel {
        /// Which one
        #[arg(required_unless_present = "list")]
        name: Option<String>,
        /// Show what there is
        #[arg(long)]
        list: bool,
        /// Only show that everything works: short samples, no files
        #[arg(long)]
        quick: bool,
        /// Only with these of its peers, such as `etcd,redis`: prints the results, no files
        #[arg(long, value_delimiter = ',', value_name = "PEERS")]
        only: Vec<String>,
    },
    /// Count the instructions of policies and of the gateway under callgrind, and fail if they are more than is kept
    Instructions {
        /// Only those with such a word in their names, such as `breaker`; all of them if there is none
        names: Vec<String>,
        /// Keep what is counted from now on
        #[arg(long)]
        update: bool,
        /// Show what there is
        #[arg(long, conflicts_with_all = ["names", "update"])]
        list: bool,
    },
    /// List the programs that Mainstay is measured against, with the versions on this machine
    Peers {
        #[command(subcommand)]
        command: Option<Peers>,
    },
    /// Be the gateway in front of a service until standard input ends
    #[command(name = instructions::GATEWAY, hide = true)]
    Gateway {
        /// Where the service listens
        origin: std::net::SocketAddr,
        /// With the policies that a service has by default
        #[arg(long)]
        guarded: bool,
    },
    /// Have other proxies read what reaches a service through the gateway; needs `make python-packages`
    Readers,
    /// Do what is counted so many times, in this process
    #[command(name = instructions::REPEAT, hide = true)]
    Repeat {
        /// Its name
        name: String,
        /// How often
        times: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Peers {
    /// Install a peer, unless it is there
    Install {
        /// Its name in the list
        name: String,
    },
}

/// The command line, for what describes it and checks descriptions of it.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Does what the command line of this process asks for. Ends the process if that cannot be understood.
pub fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Answers => {
            for page in answers::write(binary::repository())? {
                println!("{}", page.display());
            }
            Ok(())
        }
        Command::Duel { name: Some(name), list: false, quick, only } => {
            duels::run(&name, if quick { duels::Effort::Quick } else { duels::Effort::Full }, &only)
        }
        Command::Duel { .. } => {
            duels::list();
            Ok(())
        }
        Command::Instructions { list: true, .. } => instructions::list(),
        Command::Instructions { names, update, .. } => instructions::run(&names, update),
        Command::Gateway { origin, guarded } => instructions::gateway(origin, guarded),
        Command::Repeat { name, times } => instructions::repeat(&name, times),
        Command::Readers => readers::run(),
        Command::Peers { command: None } => peers::list(),
        Command::Peers { command: Some(Peers::Install { name }) } => {
            let peer = peers::named(&name)?;
            let installed = peer.require()?;
            println!("{name} {}: {}", installed.version, installed.program.display());
            Ok(())
        }
    }
}

#[test]
fn the_command_line_is_well_formed() {
    command().debug_assert();
}
