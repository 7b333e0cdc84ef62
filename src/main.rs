//! Parse, dispatch, print the one error, exit.

use std::process::ExitCode;

use hilum::{cli, command, log};

fn main() -> ExitCode {
    let matches = match cli::command().try_get_matches() {
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
