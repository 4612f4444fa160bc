//! What ACL says of users: there is one, `default`, who may do all that is served and not switched off. Its password is not shown,
//! not even as a hash.

use super::fixed::shown;
use crate::command::{Command, FindError, find};
use wire::args::{ArgView, Args};
use wire::resp::encode;

/// ACL GETUSER. `secret`: there is a password.
pub(super) fn user(name: &[u8], secret: bool, resp3: bool, out: &mut Vec<u8>) {
    if name != b"default" {
        return encode::null(resp3, out);
    }
    let flags: &[&str] = if secret { &["on"] } else { &["on", "nopass"] };
    encode::map_header(6, resp3, out);
    encode::bulk(b"flags", out);
    encode::set_header(flags.len(), resp3, out);
    flags.iter().for_each(|flag| encode::bulk(flag.as_bytes(), out));
    encode::bulk(b"passwords", out);
    encode::array_header(0, out);
    for (name, value) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        encode::bulk(name.as_bytes(), out);
        encode::bulk(value.as_bytes(), out);
    }
    encode::bulk(b"selectors", out);
    encode::array_header(0, out);
}

/// ACL LOG [count | RESET]: nothing is recorded.
pub(super) fn log(args: ArgView<'_>, out: &mut Vec<u8>) {
    let word = args.get(2);
    let is_number = std::str::from_utf8(word).is_ok_and(|word| word.parse::<i64>().is_ok());
    match args.len() {
        2 => encode::array_header(0, out),
        3 if word.eq_ignore_ascii_case(b"RESET") => encode::simple(b"OK", out),
        3 if is_number => encode::array_header(0, out),
        3 => encode::error(b"ERR value is not an integer or out of range", out),
        _ => encode::error(
            b"ERR unknown subcommand or wrong number of arguments for 'LOG'. Try ACL HELP.",
            out,
        ),
    }
}

/// ACL DRYRUN user command [argument ...]: whether it would be served.
pub(super) fn dry_run(args: ArgView<'_>, is_disabled: impl Fn(&Command) -> bool, out: &mut Vec<u8>) {
    if args.get(2) != b"default" {
        let text = format!("ERR User '{}' not found", shown(args.get(2)));
        return encode::error(text.as_bytes(), out);
    }
    let mut inner = Args::default();
    let spans = (3..args.len()).filter_map(|index| args.span(index));
    spans.for_each(|span| inner.push(span.start as usize, span.end as usize));
    match find(inner.view(args.bytes())) {
        Ok(command) if command.served() && !is_disabled(command) => encode::simple(b"OK", out),
        Ok(command) => {
            let name = command.full_name();
            let text = format!("This user has no permissions to run the '{name}' command");
            encode::bulk(text.as_bytes(), out);
        }
        Err(FindError::Arity(command)) => {
            let text = format!("ERR wrong number of arguments for '{}' command", command.full_name());
            encode::error(text.as_bytes(), out);
        }
        Err(_) => {
            let text = format!("ERR Command '{}' not found", shown(args.get(3)));
            encode::error(text.as_bytes(), out);
        }
    }
}
