//! Parse, dispatch, print the one error, exit.

use std::process::ExitCode;

use hilum::{cli, command, log};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let quick = cli::command_for(&args).try_get_matches_from(&args);
    // Help and usage errors speak of all commands.
    let matches = match quick.or_else(|_| cli::command().try_get_matches_from(&args)) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match command::dispatch(&matches) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::fatal(&error);
            ExitCode::FAILURE
        }
    }
}
