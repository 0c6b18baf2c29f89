//! The binary. Commands live in [`bedrock_cost_keeper::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    bedrock_cost_keeper::cli::main()
}
