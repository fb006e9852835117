//! `statusguard-local`, see [`statusguard_tests::local`].

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    statusguard_tests::local::run(std::env::args_os()).await.into()
}
