//! One word of the file read as a value of the option's kind. Errors are the rest of a sentence that starts
//! with the key: `must be a number of milliseconds, found "4x"`.

use std::path::PathBuf;

use placement::{DistributionKind, HashKind, HashTag};

use crate::options::{Kind, Row};
use crate::settings::{ClusterEmulation, CrossServer, Io, OnFailure, OnReturn, Partial, UnknownCommands};
use crate::suggest::did_you_mean;
use crate::units::{Bytes, Millis};

/// Decimal digits and nothing else, as twemproxy's own reading; what does not fit 64 bits is the largest.
pub(crate) fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// A number, duration or size within the row's bounds.
fn quantity(row: &Row, text: &str) -> Result<u64, String> {
    let (value, min, max, extra) = match row.kind {
        Kind::Number { min, max } | Kind::NumberOr { min, max, .. } => (digits(text), min, max, ""),
        Kind::Duration { min, max } => (Millis::from_text(text).map(|t| t.0), min, max, ", or one like 30s"),
        Kind::Size { min, max } => (Bytes::from_text(text).map(|b| b.0), min, max, ", or one like 64mb"),
        _ => unreachable!("'{}' is not a quantity", row.name),
    };
    let bound = |bound| {
        if matches!(row.kind, Kind::Size { .. }) { Bytes(bound).to_string() } else { bound.to_string() }
    };
    match value {
        None if row.unit.is_empty() => Err(format!("must be a number, found \"{text}\"")),
        None => Err(format!("must be a number of {}{extra}, found \"{text}\"", row.unit)),
        Some(value) if value < min => Err(format!("must be at least {}, found {text}", bound(min))),
        Some(value) if value > max => Err(format!("must be at most {}, found {text}", bound(max))),
        Some(value) => Ok(value),
    }
}

pub(crate) fn number(row: &Row, text: &str) -> Result<u32, String> {
    quantity(row, text).map(|value| u32::try_from(value).expect("rows bound numbers to 31 bits"))
}

pub(crate) fn millis(row: &Row, text: &str) -> Result<Millis, String> {
    quantity(row, text).map(Millis)
}

/// The word the row allows instead of a number, or the number.
pub(crate) fn word_or_millis(row: &Row, text: &str) -> Result<Option<Millis>, String> {
    match row.kind {
        Kind::NumberOr { word, .. } if word == text => Ok(None),
        _ => millis(row, text).map(Some),
    }
}

pub(crate) fn bytes(row: &Row, text: &str) -> Result<Bytes, String> {
    quantity(row, text).map(Bytes)
}

pub(crate) fn boolean(_: &Row, text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("must be true or false, found \"{text}\"")),
    }
}

/// `true`, `false` or `host:port`.
pub(crate) fn cluster_emulation(_: &Row, text: &str) -> Result<ClusterEmulation, String> {
    let wrong = || "must be true, false or the host:port that clients are told".to_string();
    match text {
        "false" => Ok(ClusterEmulation::Off),
        "true" => Ok(ClusterEmulation::Here),
        _ => {
            let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let port = digits(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            // It is written into replies of one line.
            let whole = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
            Ok(ClusterEmulation::At(host.to_owned(), port.filter(|_| whole).ok_or_else(wrong)?))
        }
    }
}

pub(crate) fn cross_server(row: &Row, text: &str) -> Result<CrossServer, String> {
    match text {
        "refuse" => Ok(CrossServer::Refuse),
        "gather" => Ok(CrossServer::Gather),
        _ => Err(one_of(row, text)),
    }
}

pub(crate) fn unknown_commands(row: &Row, text: &str) -> Result<UnknownCommands, String> {
    match text {
        "refuse" => Ok(UnknownCommands::Refuse),
        "learn" => Ok(UnknownCommands::Learn),
        _ => Err(one_of(row, text)),
    }
}

pub(crate) fn partial(row: &Row, text: &str) -> Result<Partial, String> {
    match text {
        "error" => Ok(Partial::Error),
        "miss" => Ok(Partial::Miss),
        _ => Err(one_of(row, text)),
    }
}

/// `standby` comes with the TTL that is given beside it.
pub(crate) fn on_failure(row: &Row, text: &str, standby_ttl: Millis) -> Result<OnFailure, String> {
    match text {
        "eject" => Ok(OnFailure::Eject),
        "error" => Ok(OnFailure::Error),
        "standby" => Ok(OnFailure::Standby(standby_ttl)),
        _ => Err(one_of(row, text)),
    }
}

pub(crate) fn on_return(row: &Row, text: &str) -> Result<OnReturn, String> {
    match text {
        "keep" => Ok(OnReturn::Keep),
        "flush" => Ok(OnReturn::Flush),
        "invalidate" => Ok(OnReturn::Invalidate),
        _ => Err(one_of(row, text)),
    }
}

pub(crate) fn io(row: &Row, text: &str) -> Result<Io, String> {
    Io::from_name(text).ok_or_else(|| one_of(row, text))
}

/// A text that fits into one line of an error reply.
pub(crate) fn reply_text(_: &Row, text: &str) -> Result<String, String> {
    match text.chars().any(char::is_control) {
        true => Err("must be one line without control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A version of redis: three numbers, of which clients take the first two for the features.
pub(crate) fn version(_: &Row, text: &str) -> Result<String, String> {
    let is_number =
        |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split('.').count() == 3 && text.split('.').all(is_number) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be a version of three numbers, such as 7.4.0, found \"{text}\"")),
    }
}

pub(crate) fn commands(_: &Row, text: &str) -> Result<Vec<String>, String> {
    let names = text.split([' ', ',']).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

fn one_of(row: &Row, text: &str) -> String {
    let Kind::OneOf(words) = row.kind else { unreachable!("'{}' has no fixed words", row.name) };
    format!("must be {}, found \"{text}\"", words.join(" or "))
}

pub(crate) fn hash(_: &Row, text: &str) -> Result<HashKind, String> {
    HashKind::from_name(text).ok_or_else(|| unknown_name(text, HashKind::ALL.iter().map(|hash| hash.name())))
}

pub(crate) fn distribution(_: &Row, text: &str) -> Result<DistributionKind, String> {
    DistributionKind::from_name(text)
        .ok_or_else(|| unknown_name(text, DistributionKind::ALL.iter().map(|kind| kind.name())))
}

fn unknown_name<'a>(text: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    let all: Vec<&str> = names.clone().collect();
    format!("must be one of {}, found \"{text}\"{}", all.join(", "), did_you_mean(text, names))
}

/// Exactly two bytes, so one character of two bytes is one too; twemproxy counts the same way.
pub(crate) fn hash_tag(_: &Row, text: &str) -> Result<HashTag, String> {
    let tag = <[u8; 2]>::try_from(text.as_bytes());
    tag.map(HashTag::new).map_err(|_| format!("must be two characters such as \"{{}}\", found \"{text}\""))
}

pub(crate) fn text(_: &Row, text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(crate) fn path(_: &Row, text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') {
        return Err("must not contain a NUL character".to_owned());
    }
    Ok(PathBuf::from(text))
}
