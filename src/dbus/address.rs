//! Server addresses: `unix:path=/run/user/1000/bus,guid=…;unix:abstract=…`, of which the first that answers is taken.

use rustix::net::SocketAddrUnix;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Path(Vec<u8>),
    Abstract(Vec<u8>),
}

impl Endpoint {
    /// Those of a list that are of a kind known here: sockets of this host.
    pub fn parse(list: &str) -> Vec<Endpoint> {
        list.split(';').filter_map(one).collect()
    }

    pub(super) fn socket(&self) -> rustix::io::Result<SocketAddrUnix> {
        match self {
            Endpoint::Path(path) => SocketAddrUnix::new(path.as_slice()),
            Endpoint::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        }
    }
}

/// As an address says it.
pub fn of_path(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/.\\*".contains(&b);
    let escaped: String =
        path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02x}") }).collect();
    format!("unix:path={escaped}")
}

fn one(address: &str) -> Option<Endpoint> {
    let pairs = address.strip_prefix("unix:")?.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(key, value)| match key {
            "path" => unescape(value).map(Endpoint::Path),
            "abstract" => unescape(value).map(Endpoint::Abstract),
            _ => None,
        })
        .next()
}

/// `%20` is the byte 0x20.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_of_a_list() {
        let path = |path: &str| Endpoint::Path(path.into());
        assert_eq!(Endpoint::parse("unix:path=/run/user/1000/bus"), [path("/run/user/1000/bus")]);
        assert_eq!(Endpoint::parse("unix:path=/a%20b,guid=00ff"), [path("/a b")]);
        let list = "tcp:host=localhost,port=1;unix:abstract=/tmp/x,guid=1;autolaunch:;unix:path=/b";
        assert_eq!(Endpoint::parse(list), [Endpoint::Abstract("/tmp/x".into()), path("/b")]);
        for none in ["", "unix:", "unix:path", "unix:path=/%z0", "unix:path=/%2", "path=/a"] {
            assert_eq!(Endpoint::parse(none), [], "{none}");
        }
    }

    #[test]
    fn a_path_becomes_an_address_and_again_a_path() {
        let odd = "/run/a b,c;d=%é";
        assert_eq!(Endpoint::parse(&of_path(odd)), [Endpoint::Path(odd.into())]);
        assert_eq!(of_path("/run/x-1_2.y"), "unix:path=/run/x-1_2.y");
    }
}
