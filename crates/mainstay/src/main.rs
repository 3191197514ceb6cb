//! The binary `mainstay`.

/// Gives memory back after a peak; the system's allocator kept all of it (measured in ADR 1).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    mainstay::cli::main()
}
