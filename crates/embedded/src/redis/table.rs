//! Every command: a row each, sorted by name.

use super::call::{Call, Done};
use super::command::{connection, counters, hashes, keys, lists, server, sets, sorted, strings};

/// One command.
pub(crate) struct Row {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Arguments with the name itself; below 0, at least as many as its amount. As in redis' own tables.
    pub(crate) arity: i32,
    /// Whether it may need room.
    pub(crate) writes: bool,
    /// Whether it may be used before the password is given.
    pub(crate) before_login: bool,
    pub(crate) run: fn(&mut Call<'_>) -> Done,
}

impl Row {
    /// Whether it takes this many arguments, its name included.
    pub(crate) fn takes(&self, count: usize) -> bool {
        let wanted = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }
}

/// The row of a command, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Row> {
    let name = name.to_ascii_lowercase();
    let at = ROWS.binary_search_by(|row| row.name.as_bytes().cmp(&name)).ok()?;
    ROWS.get(at)
}

const fn read(name: &'static str, arity: i32, run: fn(&mut Call<'_>) -> Done) -> Row {
    Row { name, arity, writes: false, before_login: false, run }
}

const fn write(name: &'static str, arity: i32, run: fn(&mut Call<'_>) -> Done) -> Row {
    Row { name, arity, writes: true, before_login: false, run }
}

const fn early(name: &'static str, arity: i32, run: fn(&mut Call<'_>) -> Done) -> Row {
    Row { name, arity, writes: false, before_login: true, run }
}

/// Only commands that need room count as writing here; those that remove never do.
pub(crate) const ROWS: &[Row] = &[
    write("append", 3, strings::append),
    early("auth", -2, connection::auth),
    read("client", -2, connection::client),
    read("command", -1, server::command),
    read("dbsize", 1, server::dbsize),
    write("decr", 2, counters::decr),
    write("decrby", 3, counters::decrby),
    read("del", -2, keys::del),
    read("echo", 2, connection::echo),
    read("exists", -2, keys::exists),
    read("expire", -3, keys::expire),
    read("expireat", -3, keys::expireat),
    read("flushall", -1, server::flushall),
    read("flushdb", -1, server::flushdb),
    read("get", 2, strings::get),
    read("getdel", 2, strings::getdel),
    read("getex", -2, strings::getex),
    read("getrange", 4, strings::getrange),
    write("getset", 3, strings::getset),
    read("hdel", -3, hashes::hdel),
    early("hello", -1, connection::hello),
    read("hexists", 3, hashes::hexists),
    read("hget", 3, hashes::hget),
    read("hgetall", 2, hashes::hgetall),
    write("hincrby", 4, hashes::hincrby),
    read("hkeys", 2, hashes::hkeys),
    read("hlen", 2, hashes::hlen),
    read("hmget", -3, hashes::hmget),
    write("hmset", -4, hashes::hmset),
    write("hset", -4, hashes::hset),
    write("hsetnx", 4, hashes::hsetnx),
    read("hvals", 2, hashes::hvals),
    write("incr", 2, counters::incr),
    write("incrby", 3, counters::incrby),
    write("incrbyfloat", 3, counters::incrbyfloat),
    read("info", -1, server::info),
    read("keys", 2, keys::keys),
    read("lindex", 3, lists::lindex),
    read("llen", 2, lists::llen),
    read("lpop", -2, lists::lpop),
    write("lpush", -3, lists::lpush),
    read("lrange", 4, lists::lrange),
    read("lrem", 4, lists::lrem),
    read("ltrim", 4, lists::ltrim),
    read("mget", -2, strings::mget),
    write("mset", -3, strings::mset),
    write("msetnx", -3, strings::msetnx),
    read("persist", 2, keys::persist),
    read("pexpire", -3, keys::pexpire),
    read("pexpireat", -3, keys::pexpireat),
    read("ping", -1, connection::ping),
    write("psetex", 4, strings::psetex),
    read("pttl", 2, keys::pttl),
    early("quit", -1, connection::quit),
    write("rename", 3, keys::rename),
    read("rpop", -2, lists::rpop),
    write("rpush", -3, lists::rpush),
    write("sadd", -3, sets::sadd),
    read("scan", -2, keys::scan),
    read("scard", 2, sets::scard),
    read("select", 2, connection::select),
    write("set", -3, strings::set),
    write("setex", 4, strings::setex),
    write("setnx", 3, strings::setnx),
    write("setrange", 4, strings::setrange),
    read("sinter", -2, sets::sinter),
    read("sismember", 3, sets::sismember),
    read("smembers", 2, sets::smembers),
    read("spop", -2, sets::spop),
    read("srandmember", -2, sets::srandmember),
    read("srem", -3, sets::srem),
    read("strlen", 2, strings::strlen),
    read("sunion", -2, sets::sunion),
    read("time", 1, server::time),
    read("touch", -2, keys::exists),
    read("ttl", 2, keys::ttl),
    read("type", 2, keys::type_of),
    read("unlink", -2, keys::del),
    write("zadd", -4, sorted::zadd),
    read("zcard", 2, sorted::zcard),
    write("zincrby", 4, sorted::zincrby),
    read("zpopmax", -2, sorted::zpopmax),
    read("zpopmin", -2, sorted::zpopmin),
    read("zrange", -4, sorted::zrange),
    read("zrank", 3, sorted::zrank),
    read("zrem", -3, sorted::zrem),
    read("zscore", 3, sorted::zscore),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_found_in_any_case() {
        assert!(ROWS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(find(b"ZScore").map(|row| row.name), Some("zscore"));
        assert!(find(b"nosuch").is_none() && find(b"").is_none());
    }

    #[test]
    fn counts_of_arguments() {
        let takes = |name: &str, counts: &[usize]| {
            let row = find(name.as_bytes()).expect("there");
            (1..6).filter(|n| row.takes(*n)).collect::<Vec<_>>() == counts
        };
        assert!(takes("get", &[2]));
        assert!(takes("mget", &[2, 3, 4, 5]));
        assert!(takes("ping", &[1, 2, 3, 4, 5]));
    }
}
