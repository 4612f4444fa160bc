//! Raw words to checked settings; every mistake at once, each with its line.

use std::collections::HashMap;

use placement::name_order;

use crate::address::{self, Resolve};
use crate::fields::Fields;
use crate::mistake::Mistake;
use crate::options::PROCESS_SECTION;
use crate::raw::{self, Section, Word};
use crate::read;
use crate::settings::{OnFailure, Partial, Pool, ProcessSection, Protocol, Server, Settings, Timeout};
use crate::units::Millis;

/// Reads a configuration.
///
/// `resolve` is asked for the hosts of `listen` that are not IP addresses; servers' names are not resolved
/// here. Mistakes come in the order of their lines.
pub fn load(text: &str, resolve: &Resolve<'_>) -> Result<Settings, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let raw = raw::read(text, &mut mistakes);
    let (process, pools): (Vec<&Section>, Vec<&Section>) = raw.sections.iter().partition(|s| is_process(s));
    let settings = Settings {
        pools: check_pools(&pools, resolve, &mut mistakes),
        process: check_process(&process, &mut mistakes),
    };
    if pools.is_empty() && raw.complete && mistakes.is_empty() {
        mistakes.push(Mistake {
            line: 1,
            column: 1,
            pool: None,
            key: None,
            reason: "the file has no pools".into(),
        });
    }
    if mistakes.is_empty() {
        return Ok(settings);
    }
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    Err(mistakes)
}

/// The defaults of the process section.
pub(crate) fn process_defaults() -> ProcessSection {
    process_section(&mut Fields::of_process_defaults(&mut Vec::new()))
}

/// A pool may be called like the process section: twemproxy would take it, and every pool listens.
fn is_process(section: &Section) -> bool {
    section.name.text == PROCESS_SECTION
        && !section.entries.iter().any(|entry| entry.key.text == "listen" || entry.key.text == "servers")
}

fn check_process(sections: &[&Section], mistakes: &mut Vec<Mistake>) -> ProcessSection {
    let mut all = ProcessSection::default();
    for (index, section) in sections.iter().enumerate() {
        let mut fields = Fields::of_process(section, mistakes);
        all = all.or(process_section(&mut fields));
        if index > 0 {
            let reason =
                format!("\"{PROCESS_SECTION}:\" is given twice, first on line {}", sections[0].name.line);
            fields.mistake(&section.name, None, reason);
        }
    }
    all
}

fn process_section(fields: &mut Fields<'_, '_>) -> ProcessSection {
    const NARROW: &str = "the row's bounds fit the type";
    ProcessSection {
        verbose: fields.get("verbose", read::number).map(|level| u8::try_from(level).expect(NARROW)),
        output: fields.get("output", read::path),
        stats_port: fields.get("stats_port", read::number).map(|port| u16::try_from(port).expect(NARROW)),
        stats_addr: fields.get("stats_addr", read::text),
        stats_interval: fields.get("stats_interval", read::millis),
        io: fields.get("io", read::io),
        max_memory: fields.get("max_memory", read::bytes),
        control_socket: fields.get("control_socket", read::path),
        pid_file: fields.get("pid_file", read::path),
        mbuf_size: fields.get("mbuf_size", read::bytes).map(|size| u32::try_from(size.0).expect(NARROW)),
        daemonize: fields.get("daemonize", read::boolean),
        threads: fields.get("threads", read::number),
    }
}

fn check_pools(sections: &[&Section], resolve: &Resolve<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Pool> {
    let mut pools = Vec::with_capacity(sections.len());
    let mut names = HashMap::new();
    let mut listens: HashMap<&str, (&str, usize)> = HashMap::new();
    let mut standbys = Vec::new();
    for section in sections {
        let mut fields = Fields::of_pool(section, mistakes);
        if let Some(first) = names.insert(section.name.text.as_str(), section.name.line) {
            fields.mistake(&section.name, None, format!("is defined twice, first on line {first}"));
        }
        if let Some(word) = fields.word("listen")
            && let Some((other, line)) = listens.insert(&word.text, (&section.name.text, word.line))
        {
            let reason = format!("is the same as that of pool '{other}' on line {line}");
            fields.mistake(word, Some("listen"), reason);
        }
        let standby = fields.word("standby");
        if let Some(pool) = check_pool(&section.name, &mut fields, resolve) {
            standbys.extend(standby.map(|word| (pools.len(), word)));
            pools.push(pool);
        }
    }
    absence::name_standbys(&mut pools, &standbys, sections, mistakes);
    pools.sort_by(|a, b| name_order(a.name.as_bytes(), b.name.as_bytes()));
    pools
}

/// `None` if the pool has no address to listen on; its mistakes are noted either way.
fn check_pool(name: &Word, fields: &mut Fields<'_, '_>, resolve: &Resolve<'_>) -> Option<Pool> {
    fields.require("listen");
    fields.require("servers");
    let protocol = if fields.value("redis", read::boolean) { Protocol::Redis } else { Protocol::Memcache };
    let redis_auth = fields.get("redis_auth", read::text);
    if let Some(word) = fields.word("redis_auth")
        && protocol != Protocol::Redis
    {
        fields.mistake(word, Some("redis_auth"), "is for redis pools only; this one lacks \"redis: true\"");
    }
    let disable = fields.get("disable", read::commands).unwrap_or_default();
    if let Some(word) = fields.word("disable").filter(|_| protocol != Protocol::Redis) {
        fields.mistake(word, Some("disable"), "is for redis pools only; this one lacks \"redis: true\"");
    }
    let unknown_commands = fields.value("unknown_commands", read::unknown_commands);
    if let Some(word) = fields.word("unknown_commands").filter(|_| protocol != Protocol::Redis) {
        let reason = "is for redis pools only; this one lacks \"redis: true\"";
        fields.mistake(word, Some("unknown_commands"), reason);
    }
    let auto_eject_hosts = fields.value("auto_eject_hosts", read::boolean);
    let by_default = if auto_eject_hosts { OnFailure::Eject } else { OnFailure::Error };
    let standby_ttl = fields.value("standby_ttl", read::millis);
    let on_failure = fields.get("on_failure", |row, text| read::on_failure(row, text, standby_ttl));
    let on_failure = on_failure.unwrap_or(by_default);
    let on_return = fields.value("on_return", read::on_return);
    let distribution = fields.value("distribution", read::distribution);
    absence::check(fields, on_failure, on_return, distribution);
    let listen = fields.get("listen", |_, text| address::listen(text, resolve));
    Some(Pool {
        name: name.text.clone(),
        protocol,
        hash: fields.value("hash", read::hash),
        hash_tag: fields.get("hash_tag", read::hash_tag),
        distribution,
        timeout: check_timeout(fields),
        backlog: fields.value("backlog", read::number),
        client_connections: fields.value("client_connections", read::number),
        redis_auth,
        redis_db: fields.value("redis_db", read::number),
        redis_db_fixed: fields.value("redis_db_fixed", read::boolean),
        redis_version: fields.value("redis_version", read::version),
        tcpkeepalive: fields.value("tcpkeepalive", read::boolean),
        reuseport: fields.value("reuseport", read::boolean),
        preconnect: fields.value("preconnect", read::boolean),
        server_connections: fields.value("server_connections", read::number),
        server_retry_timeout: fields.value("server_retry_timeout", read::millis),
        // twemproxy counts a failure before it compares, so 0 acts as 1.
        server_failure_limit: fields.value("server_failure_limit", read::number).max(1),
        servers: check_servers(fields),
        on_failure,
        on_return,
        error_text: fields.get("error_text", read::reply_text),
        disable,
        unknown_commands,
        max_ejected_percent: fields.value("max_ejected_percent", read::number),
        fail_fast: fields.value("fail_fast", read::boolean),
        join_gets: fields.value("join_gets", read::boolean) && protocol == Protocol::Memcache,
        retry_reads: fields.value("retry_reads", read::boolean),
        partial: fields.get("partial", read::partial).unwrap_or(match protocol {
            Protocol::Redis => Partial::Error,
            Protocol::Memcache => Partial::Miss,
        }),
        connect_timeout: fields.get("connect_timeout", read::millis),
        server_idle_timeout: fields.get("server_idle_timeout", read::millis).filter(|idle| idle.0 > 0),
        client_idle_timeout: fields.get("client_idle_timeout", read::millis).filter(|idle| idle.0 > 0),
        max_request_size: fields.value("max_request_size", read::bytes),
        max_reply_size: fields.value("max_reply_size", read::bytes),
        stream_from: fields.value("stream_from", read::bytes),
        client_max_pipeline: fields.value("client_max_pipeline", read::number),
        pinned_connections: fields.value("pinned_connections", read::number),
        cluster_emulation: fields.value("cluster_emulation", read::cluster_emulation),
        cross_server: fields.value("cross_server", read::cross_server),
        gather_limit: fields.value("gather_limit", read::bytes),
        client_request_limit: fields.value("client_request_limit", read::bytes),
        client_output_limit: fields.value("client_output_limit", read::bytes),
        client_output_hard_limit: fields.value("client_output_hard_limit", read::bytes),
        // Last, so that every other mistake is noted even without it.
        listen: listen?,
    })
}

fn check_timeout(fields: &mut Fields<'_, '_>) -> Timeout {
    let min = fields.value("timeout_auto_min", read::millis);
    let max = fields.value("timeout_auto_max", read::millis);
    let word = fields.word("timeout_auto_min").or(fields.word("timeout_auto_max"));
    if let Some(word) = word.filter(|_| min > max) {
        let reason = format!("must not be above \"timeout_auto_max\": it is {min}, the other {max}");
        fields.mistake(word, Some("timeout_auto_min"), reason);
    }
    match fields.get("timeout", read::word_or_millis) {
        None | Some(Some(Millis(0))) => Timeout::Never,
        Some(Some(timeout)) => Timeout::After(timeout),
        Some(None) => Timeout::Auto { min, max },
    }
}

/// The servers in twemproxy's order. Two may not have the same name: the name is all that placement sees.
fn check_servers(fields: &mut Fields<'_, '_>) -> Vec<Server> {
    let lines = fields.all("servers", address::server);
    let mut names: HashMap<&str, &Word> = HashMap::new();
    for (server, word) in &lines {
        if let Some(first) = names.insert(&server.name, word) {
            let reason = format!("has two servers named '{}', the other on line {}", server.name, first.line);
            fields.mistake(word, Some("servers"), reason);
        }
    }
    let mut servers: Vec<Server> = lines.into_iter().map(|(server, _)| server).collect();
    servers.sort_by(|a, b| name_order(a.name.as_bytes(), b.name.as_bytes()));
    servers
}

mod absence;
#[cfg(test)]
mod tests;
