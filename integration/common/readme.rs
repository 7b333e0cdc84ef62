//! The configurations that README.md shows: the clients have these, and not others that say the same.

use super::program;

const README: &str = include_str!("../../README.md");

/// The first block below the paragraph that begins with this client's name, for the runtime under test.
pub fn configuration(client: &str) -> String {
    let (_, below) = README.split_once(&format!("\n**{client}** (tested")).expect("a paragraph of README.md");
    let lines = below.lines().skip_while(|line| !line.starts_with("    "));
    let block: String = lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    let own = block.replace("/usr/local/bin/hilum", program());
    assert_ne!(block, own, "the block for {client} in README.md names no runtime");
    own
}
