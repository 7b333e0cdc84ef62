//! Numbers and colours for people.

use std::io::IsTerminal as _;
use std::time::Duration;

/// On a terminal only, and not where <https://no-color.org> is heeded.
pub fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()
}

/// Select Graphic Rendition (console_codes(4)).
pub fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[m") } else { text.into() }
}

/// `40.1 MiB`
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = number as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    // As limits are mostly given, without a fraction.
    let digits = usize::from(unit != "B" && value.fract() > 0.04 && value < 1000.0);
    format!("{value:.digits$} {unit}")
}

/// `1.2 s`, `3 min 20 s`, `2 h 5 min`
pub fn time(nanoseconds: u64) -> String {
    let time = Duration::from_nanos(nanoseconds);
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// In so many columns, and without what a terminal would obey.
pub fn line(text: &str, columns: usize) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    match text.char_indices().nth(columns) {
        None => text.chars().map(shown).collect(),
        Some(_) => text.chars().take(columns.saturating_sub(1)).map(shown).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let sizes = [0, 1023, 1024, 1536, 41 << 20, 42_047_898, 1 << 30, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "41 MiB", "40.1 MiB", "1 GiB", "16384 PiB"]);
        let times = [0, 1_234_000_000, 200_000_000_000, 7_500_000_000_000].map(time);
        assert_eq!(times, ["0.0 s", "1.2 s", "3 min 20 s", "2 h 5 min"]);
    }

    #[test]
    fn a_line_is_one_line_of_so_many_columns() {
        assert_eq!(line("sh -c \x1b[31m", 20), "sh -c ?[31m");
        assert_eq!((line("abcdef", 6).as_str(), line("abcdef", 5).as_str()), ("abcdef", "abcd…"));
    }
}
