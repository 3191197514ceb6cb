//! The whole shop as its users meet it: in a browser, by the commands of its guide, and while things are killed.
//!
//! Run by `make conformance`, which builds `mainstay` beside `shop` and provides a browser, curl and the other runtimes.

mod browser;
mod drill;
mod kept;
mod tour;
mod webdriver;

use std::path::{Path, PathBuf};

use shop::demo::node::{Node, Setup};

/// The folder of the example.
fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The shop as `make run` starts it, on ports and data of its own.
fn shop_in(folder: &Path, environment: Option<&'static str>) -> Node {
    let programs = Path::new(env!("CARGO_BIN_EXE_shop")).parent().expect("a program has a folder").to_owned();
    assert!(programs.join("mainstay").exists(), "build it: cargo build --package mainstay");
    let setup = Setup { programs, shop: example(), folder: folder.to_owned(), environment };
    Node::start(&setup).expect("the shop starts")
}
