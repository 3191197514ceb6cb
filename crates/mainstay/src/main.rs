//! The binary `mainstay`.

fn main() -> std::process::ExitCode {
    mainstay::cli::main()
}
