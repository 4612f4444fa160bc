//! COMMAND's answers, in the client's protocol and in the shapes of redis 7, about the commands the proxy serves. What is not
//! served is not listed, so that clients that ask first do not try it.

use wire::args::{ArgView, Args};
use wire::resp::encode::{
    array_header as array, bulk, error, integer as int, map_header as map, null, set_header as set, simple,
};

use super::flags::{Acl, Flags, KeyFlags};
use super::keys::{Begin, Find, KeySpec};
use super::{Command, CommandReply, Route, Scope, by_name, glob, listing, lookup};

/// Appends the whole reply to a COMMAND request that [`find`](super::find) took, about the commands in `scope`; `args` is all of it. A reply has
/// at most a few megabytes: a request may not name more commands than there are. `resp3`: the client speaks it.
pub fn write(reply: CommandReply, args: ArgView<'_>, scope: Scope<'_>, resp3: bool, out: &mut Vec<u8>) {
    match reply {
        CommandReply::All => all(scope, resp3, out),
        CommandReply::Count => int(scope.top_level().count() as i64, out),
        CommandReply::List => list(args, scope, out),
        CommandReply::Info | CommandReply::Docs if args.len() > 2 + Command::table().len() => {
            error(b"ERR more names than there are commands", out);
        }
        CommandReply::Info if args.len() == 2 => all(scope, resp3, out),
        CommandReply::Info => {
            array(args.len().saturating_sub(2), out);
            for name in args.iter().skip(2) {
                match scope.by_name(name) {
                    Some(command) => info(command, scope, resp3, out),
                    None => null(resp3, out),
                }
            }
        }
        CommandReply::Docs => {
            let named: Vec<&Command> = match args.len() {
                2 => scope.top_level().collect(),
                _ => args.iter().skip(2).filter_map(|name| scope.by_name(name)).collect(),
            };
            map(named.len(), resp3, out);
            named.into_iter().for_each(|command| docs(command, scope, resp3, out));
        }
        CommandReply::GetKeys => get_keys(args, false, scope, resp3, out),
        CommandReply::GetKeysAndFlags => get_keys(args, true, scope, resp3, out),
    }
}

/// Appends the reply to `X HELP`: what of the container is served. `command` is the row of the HELP itself.
pub fn help(command: &Command, scope: Scope<'_>, out: &mut Vec<u8>) {
    let container = command.name.split(' ').next().unwrap_or(command.name);
    let mut lines = vec![format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    if container == "COMMAND" {
        lines.push("(no subcommand)".to_owned());
        lines.push("    Return details about all commands that cashew serves.".to_owned());
    }
    let parts = by_name(container.as_bytes()).into_iter().flat_map(|container| scope.parts(container));
    let words = parts.filter_map(|part| part.name.split(' ').nth(1));
    lines.extend(words.filter(|word| *word != "HELP").map(str::to_owned));
    lines.extend(["HELP".to_owned(), "    Prints this help.".to_owned()]);
    array(lines.len(), out);
    lines.iter().for_each(|line| simple(line.as_bytes(), out));
}

fn all(scope: Scope<'_>, resp3: bool, out: &mut Vec<u8>) {
    array(scope.top_level().count(), out);
    scope.top_level().for_each(|command| info(command, scope, resp3, out));
}

/// COMMAND INFO's ten elements.
fn info(command: &Command, scope: Scope<'_>, resp3: bool, out: &mut Vec<u8>) {
    array(10, out);
    bulk(command.full_name().as_bytes(), out);
    int(command.arity.into(), out);
    words(command.flags.words(), "", resp3, out);
    [command.first, command.last, command.step].iter().for_each(|number| int((*number).into(), out));
    words(command.acl.words(), "@", resp3, out);
    set(command.tips.len(), resp3, out);
    command.tips.iter().for_each(|tip| bulk(tip.as_bytes(), out));
    set(command.specs.len(), resp3, out);
    command.specs.iter().for_each(|spec| key_spec(spec, resp3, out));
    match scope.parts(command).count() {
        0 => set(0, resp3, out),
        count => array(count, out),
    }
    scope.parts(command).for_each(|part| info(part, scope, resp3, out));
}

fn words(words: impl Iterator<Item = &'static str>, prefix: &str, resp3: bool, out: &mut Vec<u8>) {
    let words: Vec<&str> = words.collect();
    set(words.len(), resp3, out);
    words.iter().for_each(|word| simple([prefix, word].concat().as_bytes(), out));
}

/// A key specification.
fn key_spec(spec: &KeySpec, resp3: bool, out: &mut Vec<u8>) {
    map(3, resp3, out);
    bulk(b"flags", out);
    words(spec.flags.words(), "", resp3, out);
    bulk(b"begin_search", out);
    match spec.begin {
        Begin::Index(index) => typed("index", &[("index", index.into())], resp3, out),
        Begin::Keyword(word, from) => {
            head("keyword", 2, resp3, out);
            bulk(b"keyword", out);
            bulk(word.as_bytes(), out);
            field("startfrom", from.into(), out);
        }
        Begin::Unknown => typed("unknown", &[], resp3, out),
    }
    bulk(b"find_keys", out);
    match spec.find {
        Find::Range { last, step, limit } => {
            typed(
                "range",
                &[("lastkey", last.into()), ("keystep", step.into()), ("limit", limit.into())],
                resp3,
                out,
            );
        }
        Find::Keynum { number, first, step } => {
            let fields = [("keynumidx", number.into()), ("firstkey", first.into()), ("keystep", step.into())];
            typed("keynum", &fields, resp3, out);
        }
        Find::Unknown => typed("unknown", &[], resp3, out),
    }
}

fn typed(kind: &str, fields: &[(&str, i64)], resp3: bool, out: &mut Vec<u8>) {
    head(kind, fields.len(), resp3, out);
    fields.iter().for_each(|(name, value)| field(name, *value, out));
}

fn head(kind: &str, fields: usize, resp3: bool, out: &mut Vec<u8>) {
    map(2, resp3, out);
    bulk(b"type", out);
    bulk(kind.as_bytes(), out);
    bulk(b"spec", out);
    map(fields, resp3, out);
}

fn field(name: &str, value: i64, out: &mut Vec<u8>) {
    bulk(name.as_bytes(), out);
    int(value, out);
}

/// COMMAND DOCS: name and map, in a server's words where there are any.
pub(super) fn docs(command: &Command, scope: Scope<'_>, resp3: bool, out: &mut Vec<u8>) {
    if scope.book.is_some_and(|book| book.write(command, scope, resp3, out)) {
        return;
    }
    let about = &command.about;
    let mut fields = vec![("summary", summary(command)), ("since", about.since), ("group", about.group)];
    fields.extend([("module", about.module), ("deprecated_since", about.deprecated_since)]);
    fields.push(("replaced_by", about.replaced_by));
    fields.retain(|(_, value)| !value.is_empty());
    let deprecated = !about.deprecated_since.is_empty();
    let parts: Vec<&Command> = scope.parts(command).collect();

    bulk(command.full_name().as_bytes(), out);
    map(fields.len() + 1 + usize::from(deprecated) + usize::from(!parts.is_empty()), resp3, out);
    for (name, value) in fields {
        bulk(name.as_bytes(), out);
        bulk(value.as_bytes(), out);
    }
    field("arity", command.arity.into(), out);
    if deprecated {
        bulk(b"doc_flags", out);
        words(std::iter::once("deprecated"), "", resp3, out);
    }
    if !parts.is_empty() {
        bulk(b"subcommands", out);
        map(parts.len(), resp3, out);
        parts.into_iter().for_each(|part| docs(part, scope, resp3, out));
    }
}

/// One line on what the proxy does with the command. What the command is for, redis' own documentation says.
fn summary(command: &Command) -> &'static str {
    match command.route {
        _ if !command.subcommands().is_empty() => "A container for subcommands",
        Route::ByKey => "Sent to the server of its key or keys",
        Route::Split(_) => "Split over the servers of its keys",
        Route::Fanout(_) => "Sent to all servers",
        Route::Local(_) => "Answered by cashew",
        Route::Session(_) => "On the server of the transaction's keys",
        Route::Walk(_) => "Sent to all servers",
        Route::Pubsub(_) => "On the server of its channel",
        Route::NotYet(_) | Route::Refused(_) => "Not served",
    }
}

/// Longer than any name with its escapes and classes.
const PATTERN_BYTES: usize = 128;

/// COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN pattern].
fn list(args: ArgView<'_>, scope: Scope<'_>, out: &mut Vec<u8>) {
    let is = |index: usize, word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
    let value = args.get(4);
    let keep: Box<dyn Fn(&Command) -> bool> = match args.len() {
        2 => Box::new(|_| true),
        5 if is(2, "FILTERBY") && is(3, "MODULE") => {
            Box::new(|command| !value.is_empty() && command.about.module.as_bytes() == value)
        }
        5 if is(2, "FILTERBY") && is(3, "ACLCAT") => match Acl::parse(value) {
            Some(category) => Box::new(move |command| command.acl.has(category)),
            None => Box::new(|_| false),
        },
        // A pattern is tried on every name: a long one would hold up everybody else.
        5 if is(2, "FILTERBY") && is(3, "PATTERN") && value.len() > PATTERN_BYTES => {
            return error(b"ERR the pattern is longer than any command's name", out);
        }
        5 if is(2, "FILTERBY") && is(3, "PATTERN") => {
            Box::new(|command| glob::matches(value, command.full_name().as_bytes()))
        }
        _ => return error(b"ERR syntax error", out),
    };
    let kept: Vec<&Command> = scope.all().filter(|command| keep(command)).collect();
    array(kept.len(), out);
    kept.iter().for_each(|command| bulk(command.full_name().as_bytes(), out));
}

/// COMMAND GETKEYS and GETKEYSANDFLAGS, of any command of the table, served or not.
fn get_keys(args: ArgView<'_>, with_flags: bool, scope: Scope<'_>, resp3: bool, out: &mut Vec<u8>) {
    let mut inner = Args::default();
    (2..args.len())
        .filter_map(|index| args.span(index))
        .for_each(|span| inner.push(span.start as usize, span.end as usize));
    let inner = inner.view(args.bytes());
    let learnt = |error| scope.learnt.ok_or(error)?.any_arity(error, inner);
    let Ok(command) = lookup::any_arity(inner).or_else(learnt) else {
        return error(b"ERR Invalid command specified", out);
    };
    if !listing::has_keys(command) {
        return error(b"ERR The command has no key arguments", out);
    }
    if !command.takes(inner.len()) {
        return error(b"ERR Invalid number of arguments specified for command", out);
    }
    let listed = listing::keys(command, inner);
    let listed = match listed {
        Some(listed) if !listed.is_empty() => listed,
        _ if command.flags.has(Flags::NO_MANDATORY_KEYS) => Vec::new(),
        _ => return error(b"ERR Invalid arguments specified for command", out),
    };
    array(listed.len(), out);
    for (index, flags) in listed {
        if with_flags {
            array(2, out);
        }
        bulk(inner.get(index), out);
        if with_flags {
            words(flags.without(KeyFlags::INCOMPLETE).words(), "", resp3, out);
        }
    }
}
