//! `shop ROLE`: one program, of which each process is one of the shop's services, or its shoppers, or its audit.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use shop::service::Home;
use shop::{audit, customers, demo, inventory, orders, payments, storefront};
use tokio::task::block_in_place;

/// A shop that Mainstay carries; see examples/shop/mainstay.yaml.
#[derive(Debug, Parser)]
#[command(name = "shop", version)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serve the ledger of accounts and transfers
    Payments,
    /// Serve products, stock and reservations
    Inventory,
    /// Serve baskets and orders
    Orders,
    /// Serve the pages that people see
    Storefront,
    /// Be the shoppers, at a rate that the shop cannot slow down, and audit what became of it
    Customers(customers::cli::Args),
    /// Audit what is kept of orders, money and goods
    Audit(audit::cli::Args),
    /// Have customers come while things go wrong, audit, and write a report
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.role) {
        Ok(code) => code,
        #[expect(
            clippy::print_stderr,
            reason = "this is where a person or Mainstay's log reads why it ended"
        )]
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: &Role) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match role {
            Role::Payments => payments::serve(Home::from_environment()?).await?,
            Role::Inventory => inventory::serve(Home::from_environment()?).await?,
            Role::Orders => orders::serve(Home::from_environment()?).await?,
            Role::Storefront => storefront::serve(Home::from_environment()?).await?,
            Role::Customers(args) => return customers::cli::main(args).await,
            Role::Audit(args) => return audit::cli::main(args).await,
            // It waits for processes, which blocks.
            Role::Demo(args) => return block_in_place(|| demo::main(args)),
        }
        Ok(ExitCode::SUCCESS)
    })
}
