//! Commands about the server as a whole.

use super::super::VERSION;
use super::super::answer::{Answer, OK};
use super::super::call::{Call, Done};
use super::super::fault::Fault;
use super::super::table::ROWS;
use crate::keyspace::Keyspace;

pub(crate) fn dbsize(call: &mut Call<'_>) -> Done {
    Ok(Answer::count(call.db().len()))
}

pub(crate) fn flushdb(call: &mut Call<'_>) -> Done {
    flush_mode(call)?;
    call.db().clear();
    Ok(OK)
}

pub(crate) fn flushall(call: &mut Call<'_>) -> Done {
    flush_mode(call)?;
    call.state.dbs.iter_mut().for_each(Keyspace::clear);
    Ok(OK)
}

/// Both modes come to the same here.
fn flush_mode(call: &Call<'_>) -> Result<(), Fault> {
    match (call.args.len(), call.word(1).as_slice()) {
        (1, _) | (2, b"async" | b"sync") => Ok(()),
        _ => Err(Fault::Syntax),
    }
}

pub(crate) fn time(call: &mut Call<'_>) -> Done {
    let (seconds, micros) = (call.now / 1000, call.now % 1000 * 1000);
    Ok(Answer::bulks([seconds.to_string().as_bytes(), micros.to_string().as_bytes()]))
}

/// Clients ask for descriptions of commands at their start and live without; only names and their number are
/// known.
pub(crate) fn command(call: &mut Call<'_>) -> Done {
    match call.word(1).as_slice() {
        b"" => Ok(Answer::Array(Vec::new())),
        b"count" => Ok(Answer::count(ROWS.len())),
        b"list" => Ok(Answer::bulks(ROWS.iter().map(|row| row.name.as_bytes()))),
        b"docs" => Ok(Answer::Map(Vec::new())),
        b"info" => Ok(Answer::Array(call.rest(2).iter().map(|_| Answer::NullArray).collect())),
        _ => Err(Fault::unknown_subcommand("COMMAND", call.arg(1))),
    }
}

pub(crate) fn info(call: &mut Call<'_>) -> Done {
    let wanted: Vec<Vec<u8>> = call.rest(1).iter().map(|name| name.to_ascii_lowercase()).collect();
    let all = wanted.is_empty()
        || wanted.iter().any(|w| matches!(w.as_slice(), b"all" | b"default" | b"everything"));
    let sections: [(&str, Section); 6] = [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Stats", stats),
        ("Replication", |_| "role:master\r\nconnected_slaves:0\r\n".into()),
        ("Keyspace", keyspace),
    ];
    let texts: Vec<String> = sections
        .iter()
        .filter(|(name, _)| all || wanted.iter().any(|w| name.as_bytes().eq_ignore_ascii_case(w)))
        .map(|(name, text)| format!("# {name}\r\n{}", text(call)))
        .collect();
    Ok(Answer::Verbatim(texts.join("\r\n")))
}

/// Writes a section of INFO.
type Section = fn(&Call<'_>) -> String;

fn server(call: &Call<'_>) -> String {
    format!(
        "redis_version:{VERSION}\r\nredis_mode:standalone\r\nserver_name:cashew-embedded\r\nprocess_id:{}\r\n\
         uptime_in_seconds:{}\r\n",
        std::process::id(),
        call.state.started.elapsed().as_secs()
    )
}

fn clients(call: &Call<'_>) -> String {
    format!("connected_clients:{}\r\nmaxclients:{}\r\n", call.state.clients, call.state.options.clients_max)
}

fn memory(call: &Call<'_>) -> String {
    format!(
        "used_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:oldest-created\r\n",
        call.state.bytes(),
        call.state.options.bytes_max
    )
}

fn stats(call: &Call<'_>) -> String {
    format!("total_commands_processed:{}\r\nevicted_keys:{}\r\n", call.state.commands, call.state.evicted)
}

fn keyspace(call: &Call<'_>) -> String {
    let dbs = call.state.dbs.iter().enumerate().filter(|(_, db)| db.len() > 0);
    dbs.map(|(index, db)| format!("db{index}:keys={},expires={},avg_ttl=0\r\n", db.len(), db.expiring()))
        .collect()
}
