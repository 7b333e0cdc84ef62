//! A fault of hilum's own, should there be one: told in one line, as everything else that goes wrong, and without a
//! backtrace, which is for who debugs a build with symbols.

use std::panic::PanicHookInfo;

use crate::error::Error;
use crate::log;

/// Ends the process as any error does.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|info| {
        log::fatal(&told(info));
        hilum_sys::process::exit(1);
    }));
}

fn told(info: &PanicHookInfo<'_>) -> Error {
    let payload = info.payload();
    let said = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("no reason given");
    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    Error::new(format!("internal error: {said}{place}")).hint(
        "this is a fault in hilum, please report it, with the command and config.json; `hilum gc` removes what is left",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn it_is_one_line_with_its_place() {
        static TOLD: Mutex<String> = Mutex::new(String::new());
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|info| *TOLD.lock().unwrap() = told(info).to_string()));
        let thread = std::thread::spawn(|| panic!("a\nb {}", 7)).join();
        std::panic::set_hook(before);
        assert!(thread.is_err());
        let told = TOLD.lock().unwrap().clone();
        assert!(told.starts_with("internal error: a\\nb 7 (src/fault.rs:"), "{told}");
        assert!(told.contains("; this is a fault in hilum"), "{told}");
    }
}
