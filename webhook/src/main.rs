//! The `statusguard` command: the guard server and the tools of its policies.

use std::process::ExitCode;

use clap::Parser as _;
use statusguard::Args;
use tikv_jemallocator::Jemalloc;

/// That of the C library keeps what large judgements took; this one gives it back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    statusguard::main(Args::parse())
}
