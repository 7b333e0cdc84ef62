//! Parse, dispatch, print the one error, exit.
#![no_main]

use hilum::error::Kind;
use hilum::{cli, command, fault, log};

hilum_sys::main!(run);

fn run() -> i32 {
    fault::tell_of_panics();
    let args: Vec<_> = std::env::args_os().collect();
    let quick = cli::command_for(&args).try_get_matches_from(&args);
    // Help and usage errors speak of all commands.
    let matches = match quick.or_else(|_| cli::command().try_get_matches_from(&args)) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return 0;
            }
            command::log_usage_error(&args, &error);
            return 1;
        }
    };
    match command::dispatch(&matches) {
        Ok(code) => code.into(),
        Err(error) if error.kind() == Kind::Unread => 1,
        Err(error) => {
            log::fatal(&error);
            1
        }
    }
}
