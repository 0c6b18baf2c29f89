//! `migrate`: bring the store to this version's schema, or print what that makes.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::{CommandError, CommandResult, open_store};
use crate::config::Config;
use crate::storage::open::planned_schema;

#[derive(Debug, Default, Args)]
pub(super) struct MigrateArgs {
    /// Only print what is created, without connecting to the store: SQL, or DynamoDB's tables as JSON, in the form of
    /// CloudFormation's properties of AWS::DynamoDB::Table
    #[arg(long)]
    print: bool,
}

pub(super) async fn run(config: &Config, args: &MigrateArgs) -> CommandResult {
    if args.print {
        write!(std::io::stdout(), "{}", planned(config)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let storage = open_store(config).await?;
    let steps = storage.migrate().await?;
    storage.close().await;
    match steps {
        0 => println!("{} is up to date", config.storage.url),
        1 => println!("{}: 1 migration applied", config.storage.url),
        steps => println!("{}: {steps} migrations applied", config.storage.url),
    }
    Ok(ExitCode::SUCCESS)
}

fn planned(config: &Config) -> Result<String, CommandError> {
    let options = config.storage.options(&config.retention);
    Ok(planned_schema(config.storage.url.expose(), &options).map_err(|error| format!("cannot print: {error}"))?)
}
