//! Commands about the connection itself.

use super::super::answer::{Answer, OK, Protocol};
use super::super::call::{Call, Done};
use super::super::fault::{Fault, shortened};
use super::super::{DATABASES, VERSION, number};

pub(crate) fn ping(call: &mut Call<'_>) -> Done {
    match call.args.len() {
        1 => Ok(Answer::Simple("PONG")),
        2 => Ok(Answer::bulk(call.arg(1))),
        _ => Err(call.arity()),
    }
}

pub(crate) fn echo(call: &mut Call<'_>) -> Done {
    Ok(Answer::bulk(call.arg(1)))
}

pub(crate) fn quit(call: &mut Call<'_>) -> Done {
    call.client.leaving = true;
    Ok(OK)
}

pub(crate) fn select(call: &mut Call<'_>) -> Done {
    let index = usize::try_from(call.int(1)?).ok().filter(|db| *db < DATABASES).ok_or(Fault::DbIndex)?;
    call.client.db = index;
    Ok(OK)
}

pub(crate) fn auth(call: &mut Call<'_>) -> Done {
    match call.args.len() {
        2 if call.state.options.password.is_none() => Err(Fault::AuthUnneeded),
        2 => login(call, b"default", call.arg(1)),
        3 => login(call, call.arg(1), call.arg(2)),
        _ => Err(Fault::Syntax),
    }
}

/// The default user is the only one; without a password any will do for it, as in redis.
fn login(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Done {
    let right = call.state.options.password.as_ref().is_none_or(|wanted| wanted.as_bytes() == password);
    if user != b"default" || !right {
        return Err(Fault::WrongPass);
    }
    call.client.trusted = true;
    Ok(OK)
}

pub(crate) fn hello(call: &mut Call<'_>) -> Done {
    let mut protocol = call.client.protocol;
    if call.args.len() > 1 {
        protocol = match number::integer(call.arg(1)).ok_or(Fault::ProtocolNotInteger)? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Fault::NoProto),
        };
    }
    let mut name = None;
    let mut at = 2;
    while at < call.args.len() {
        match call.word(at).as_slice() {
            b"auth" if at + 2 < call.args.len() => {
                login(call, call.arg(at + 1), call.arg(at + 2))?;
                at += 3;
            }
            b"setname" if at + 1 < call.args.len() => {
                name = Some(checked_name(call.arg(at + 1))?);
                at += 2;
            }
            _ => return Err(Fault::HelloOption(shortened(call.arg(at), 128))),
        }
    }
    if !call.client.trusted {
        return Err(Fault::HelloNoAuth);
    }
    call.client.protocol = protocol;
    if let Some(name) = name {
        call.client.name = name;
    }
    Ok(greeting(call))
}

fn greeting(call: &Call<'_>) -> Answer {
    let text = |text: &str| Answer::bulk(text.as_bytes());
    let version = if call.client.protocol == Protocol::Resp3 { 3 } else { 2 };
    Answer::Map(vec![
        (text("server"), text("redis")),
        (text("version"), text(VERSION)),
        (text("proto"), Answer::Int(version)),
        (text("id"), Answer::Int(i64::try_from(call.client.id).unwrap_or(i64::MAX))),
        (text("mode"), text("standalone")),
        (text("role"), text("master")),
        (text("modules"), Answer::Array(Vec::new())),
    ])
}

pub(crate) fn client(call: &mut Call<'_>) -> Done {
    match (call.word(1).as_slice(), call.args.len()) {
        (b"setname", 3) => {
            call.client.name = checked_name(call.arg(2))?;
            Ok(OK)
        }
        (b"getname", 2) if call.client.name.is_empty() => Ok(Answer::Null),
        (b"getname", 2) => Ok(Answer::bulk(&call.client.name)),
        (b"id", 2) => Ok(Answer::Int(i64::try_from(call.client.id).unwrap_or(i64::MAX))),
        (b"setinfo", 4) => set_info(call),
        (name @ (b"setname" | b"getname" | b"id" | b"setinfo"), _) => {
            Err(Fault::Arity(format!("client|{}", shortened(name, 128))))
        }
        _ => Err(Fault::unknown_subcommand("CLIENT", call.arg(1))),
    }
}

/// What libraries say about themselves; checked like a name, and not kept because nothing here would show it.
fn set_info(call: &Call<'_>) -> Done {
    let attribute = call.word(2);
    if !matches!(attribute.as_slice(), b"lib-name" | b"lib-ver") {
        return Err(Fault::ClientInfoOption(shortened(call.arg(2), 128)));
    }
    let plain = call.arg(3).iter().all(u8::is_ascii_graphic);
    if plain { Ok(OK) } else { Err(Fault::ClientInfo(shortened(&attribute, 128))) }
}

fn checked_name(name: &[u8]) -> Result<Vec<u8>, Fault> {
    if name.iter().all(u8::is_ascii_graphic) { Ok(name.to_vec()) } else { Err(Fault::ClientName) }
}
