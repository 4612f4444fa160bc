//! `listen` values and server lines, taken apart from the right as twemproxy does it.
//!
//! Where an address ends and a name begins is twemproxy's rule to the letter, odd corners included: a
//! trailing space gives an empty name, any text after the last space of a unix `listen` is a mode. Only
//! brackets around an IPv6 address are new.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::options::NUMBER_MAX;
use crate::read::digits;
use crate::settings::{Address, Listen, Server};

/// Turns the host and port of a `listen` value into an address.
pub type Resolve<'a> = dyn Fn(&str, u16) -> io::Result<SocketAddr> + 'a;

/// Reads a `listen` value. Errors are the rest of a sentence that starts with the key.
pub(crate) fn listen(text: &str, resolve: &Resolve<'_>) -> Result<Listen, String> {
    no_nul(text)?;
    if text.starts_with('/') { listen_unix(text) } else { listen_tcp(text, resolve) }
}

fn listen_tcp(text: &str, resolve: &Resolve<'_>) -> Result<Listen, String> {
    let Some((host, port_text)) = text.rsplit_once(':') else {
        return Err(format!("must be \"host:port\" or \"/path [mode]\", found \"{text}\""));
    };
    let port = port(port_text).ok_or_else(|| bad_port(port_text, text))?;
    if host.is_empty() {
        return Err(format!("has no host before the port in \"{text}\"; 0.0.0.0 listens on every address"));
    }
    let addr = match ip(host) {
        Some(ip) => SocketAddr::new(ip, port),
        None => resolve(unbracketed(host), port)
            .map_err(|error| format!("has a host that does not resolve, \"{host}\": {error}"))?,
    };
    Ok(Listen::Tcp { text: text.to_owned(), addr })
}

fn listen_unix(text: &str) -> Result<Listen, String> {
    let (path, mode) = match text.rsplit_once(' ') {
        None => (text, None),
        Some((path, mode)) => (path, octal_mode(mode)?),
    };
    if path.len() > UNIX_PATH_MAX {
        let length = path.len();
        return Err(format!("has a path of {length} bytes; a unix socket's may have {UNIX_PATH_MAX}"));
    }
    Ok(Listen::Unix { path: PathBuf::from(path), mode })
}

/// The leading octal digits of `text`, as C's strtol reads them: none at all is 0. 0 leaves the mode alone.
fn octal_mode(text: &str) -> Result<Option<u32>, String> {
    let unsigned = text.trim_ascii_start();
    let (negative, unsigned) = match unsigned.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, unsigned.strip_prefix('+').unwrap_or(unsigned)),
    };
    let end = unsigned.find(|c: char| !('0'..='7').contains(&c)).unwrap_or(unsigned.len());
    let mode = match &unsigned[..end] {
        "" => 0,
        digits => u32::from_str_radix(digits, 8).unwrap_or(u32::MAX),
    };
    if mode > 0o777 || (negative && mode > 0) {
        return Err(format!("has a mode outside 0 to 0777, \"{text}\""));
    }
    Ok((mode > 0).then_some(mode))
}

/// Reads a line of `servers`. Errors are the rest of a sentence that starts with the key.
pub(crate) fn server(text: &str) -> Result<Server, String> {
    no_nul(text)?;
    let (place, given_name) = match text.rsplit_once(' ') {
        None => (text, None),
        Some((place, name)) => (place, Some(name)),
    };
    let form =
        || format!("must hold \"host:port:weight [name]\" or \"/path:weight [name]\", found \"{text}\"");
    let (place, weight_text) = place.rsplit_once(':').ok_or_else(form)?;
    if text.starts_with('/') {
        if place.contains(':') {
            return Err(form());
        }
        let address = Address::Unix(PathBuf::from(place));
        // The colon is an accident of twemproxy's, and decides where keys are.
        let name = given_name.map_or_else(|| format!("{place}:"), str::to_owned);
        return Ok(Server { name, weight: weight(weight_text, text)?, address, standby: false });
    }
    let (host, port_text) = place.rsplit_once(':').ok_or_else(form)?;
    let weight = weight(weight_text, text)?;
    let port = port(port_text).ok_or_else(|| bad_port(port_text, text))?;
    let name = match given_name {
        Some(name) => name,
        // libmemcached leaves out memcached's usual port, and so does twemproxy.
        None if port == 11211 => host,
        None => place,
    };
    let address = match ip(host) {
        Some(ip) => Address::Ip(SocketAddr::new(ip, port)),
        None => Address::Name { host: unbracketed(host).to_owned(), port },
    };
    Ok(Server { name: name.to_owned(), weight, address, standby: false })
}

fn weight(text: &str, line: &str) -> Result<u32, String> {
    match digits(text) {
        None => Err(format!("must have a number as weight, found \"{text}\" in \"{line}\"")),
        Some(0) => Err(format!("must have a weight of at least 1, found 0 in \"{line}\"")),
        Some(weight) => u32::try_from(weight)
            .ok()
            .filter(|weight| u64::from(*weight) <= NUMBER_MAX)
            .ok_or_else(|| format!("must have a weight of at most {NUMBER_MAX}, found {text} in \"{line}\"")),
    }
}

fn port(text: &str) -> Option<u16> {
    digits(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn bad_port(port: &str, line: &str) -> String {
    format!("must have a port from 1 to 65535, found \"{port}\" in \"{line}\"")
}

/// An IP address, IPv6 with or without brackets.
fn ip(host: &str) -> Option<IpAddr> {
    match bracketed(host) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

fn unbracketed(host: &str) -> &str {
    bracketed(host).unwrap_or(host)
}

/// A NUL would end the text early wherever it meets the operating system.
fn no_nul(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("must not contain a NUL character".to_owned()) } else { Ok(()) }
}

/// One less than the room in a socket address, for the NUL that ends it.
const UNIX_PATH_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_lines_get_twemproxys_names() {
        for (line, name, weight, address) in [
            ("h:6379:1", "h:6379", 1, "h:6379"),
            ("h:11211:2", "h", 2, "h:11211"),
            ("h:011211:2", "h", 2, "h:11211"),
            ("h:06379:1", "h:06379", 1, "h:6379"),
            ("10.0.0.1:6379:1 alpha", "alpha", 1, "10.0.0.1:6379"),
            ("10.0.0.1:11211:1 a:b", "a:b", 1, "10.0.0.1:11211"),
            ("h:6379:1 ", "", 1, "h:6379"),
            ("/run/r.sock:3", "/run/r.sock:", 3, "/run/r.sock"),
            ("/run/r.sock:3 x", "x", 3, "/run/r.sock"),
            ("/run/r.sock:3 ", "", 3, "/run/r.sock"),
            ("::1:6379:1", "::1:6379", 1, "[::1]:6379"),
            ("[::1]:6379:1", "[::1]:6379", 1, "[::1]:6379"),
            ("fe80::1%lo:6379:1", "fe80::1%lo:6379", 1, "fe80::1%lo:6379"),
            ("127.1:6379:1", "127.1:6379", 1, "127.1:6379"),
            (":6379:1", ":6379", 1, ":6379"),
        ] {
            let server = server(line).expect(line);
            let found = (server.name.as_str(), server.weight, server.address.to_string());
            assert_eq!(found, (name, weight, address.to_owned()), "{line}");
        }
    }

    #[test]
    fn bad_server_lines_say_what_is_wrong() {
        for (line, reason) in [
            ("h", "must hold"),
            ("h:1", "must hold"),
            ("/path", "must hold"),
            ("/a:b:1", "must hold"),
            ("h:1:x", "number as weight"),
            ("h:1:-1", "number as weight"),
            ("h:1:1 a b", "number as weight"),
            ("h:1:0", "at least 1"),
            ("h:1:4294967297", "at most 2147483647"),
            ("h:0:1", "port from 1 to 65535"),
            ("h:65536:1", "port from 1 to 65535"),
            ("h:+1:1", "port from 1 to 65535"),
            ("h::1", "port from 1 to 65535"),
            ("h\0:1:1", "NUL"),
        ] {
            let error = server(line).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn listen_values() {
        let unix = |path: &str, mode| Ok(Listen::Unix { path: path.into(), mode });
        let tcp = |text: &str, addr: &str| Ok(Listen::Tcp { text: text.into(), addr: addr.parse().unwrap() });
        let long = format!("/{}", "a".repeat(106));
        for (text, expected) in [
            ("127.0.0.1:22121", tcp("127.0.0.1:22121", "127.0.0.1:22121")),
            ("::1:22121", tcp("::1:22121", "[::1]:22121")),
            ("[::1]:22121", tcp("[::1]:22121", "[::1]:22121")),
            ("known:1", tcp("known:1", "192.0.2.1:1")),
            ("[known]:1", tcp("[known]:1", "192.0.2.1:1")),
            ("/s", unix("/s", None)),
            ("/s 0660", unix("/s", Some(0o660))),
            ("/s +660x", unix("/s", Some(0o660))),
            ("/s rubbish", unix("/s", None)),
            ("/s 0", unix("/s", None)),
            ("/s ", unix("/s", None)),
            ("/a b 777", unix("/a b", Some(0o777))),
            (&long, unix(&long, None)),
            ("/s 1000", Err("outside 0 to 0777")),
            ("/s -1", Err("outside 0 to 0777")),
            ("/s 7777777777777777777777777", Err("outside 0 to 0777")),
            (&format!("{long}a"), Err("108 bytes")),
            ("22121", Err("must be \"host:port\"")),
            (":22121", Err("no host")),
            ("h:0", Err("port from 1 to 65535")),
            ("h:", Err("port from 1 to 65535")),
            ("unknown:1", Err("does not resolve")),
            ("[::zz]:1", Err("does not resolve")),
        ] {
            match (listen(text, &only_known), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(reason)) => assert!(error.contains(reason), "{text}: {error}"),
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            }
        }
    }

    fn only_known(host: &str, port: u16) -> io::Result<SocketAddr> {
        match host {
            "known" => Ok(SocketAddr::from(([192, 0, 2, 1], port))),
            _ => Err(io::Error::other("no such name")),
        }
    }
}
