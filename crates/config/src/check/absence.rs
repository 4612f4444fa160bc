//! What goes with a server's being away: who stands in for it, and what happens to its data when it returns.

use placement::DistributionKind;

use super::read;
use crate::address;
use crate::fields::Fields;
use crate::mistake::Mistake;
use crate::raw::{Section, Word};
use crate::settings::{OnFailure, OnReturn, Pool, STANDBY_PREFIX, Server};
use crate::suggest::did_you_mean;

/// Refuses keys that would do nothing: who writes them means something.
pub(super) fn check(
    fields: &mut Fields<'_, '_>,
    on_failure: OnFailure,
    on_return: OnReturn,
    distribution: DistributionKind,
) {
    if let OnFailure::Standby(_) = on_failure {
        if let (None, Some(word)) = (fields.word("standby"), fields.word("on_failure")) {
            let reason = "needs \"standby\" beside it: the server or the pool that takes the keys";
            fields.mistake(word, Some("on_failure"), reason);
        }
    } else if !fields.is_wrong("on_failure", |row, text| read::on_failure(row, text, Default::default())) {
        for key in ["standby", "standby_ttl"] {
            if let Some(word) = fields.word(key) {
                fields.mistake(word, Some(key), "has no effect without \"on_failure: standby\"");
            }
        }
    }
    let Some(word) = fields.word("on_return").filter(|_| on_return != OnReturn::Keep) else { return };
    if on_failure == OnFailure::Error {
        let reason =
            format!("must be keep where servers stay in (\"on_failure: error\"), found \"{}\"", word.text);
        fields.mistake(word, Some("on_return"), reason);
    } else if distribution == DistributionKind::Random {
        let reason = format!(
            "must be keep with \"distribution: random\": no server is a key's own, found \"{}\"",
            word.text
        );
        fields.mistake(word, Some("on_return"), reason);
    }
}

/// Gives each pool that has a standby that standby's servers, behind its own. `standbys` are the places of such
/// pools and what they say.
pub(super) fn name_standbys(
    pools: &mut [Pool],
    standbys: &[(usize, &Word)],
    sections: &[&Section],
    mistakes: &mut Vec<Mistake>,
) {
    let mut found = Vec::new();
    for &(place, word) in standbys {
        let pool = &pools[place];
        if !matches!(pool.on_failure, OnFailure::Standby(_)) {
            continue;
        }
        match servers_of(pool, &word.text, pools, sections) {
            Ok(servers) => found.push((place, servers)),
            Err(reason) => mistakes.push(Mistake {
                line: word.line,
                column: word.column,
                pool: Some(pool.name.clone()),
                key: Some("standby".to_owned()),
                reason,
            }),
        }
    }
    for (place, servers) in found {
        pools[place].servers.extend(servers.into_iter().map(|server| Server {
            name: format!("{STANDBY_PREFIX}{}", server.name),
            standby: true,
            ..server
        }));
    }
}

/// The servers that `text` means: a pool's, or one written out.
fn servers_of(pool: &Pool, text: &str, pools: &[Pool], sections: &[&Section]) -> Result<Vec<Server>, String> {
    let servers = if sections.iter().any(|section| section.name.text == text) {
        if text == pool.name {
            return Err("must be another pool, found the pool itself".to_owned());
        }
        match pools.iter().find(|other| other.name == text) {
            Some(other) => of_pool(pool, other)?,
            // That one's own mistakes are told.
            None => Vec::new(),
        }
    } else if text.contains(':') {
        vec![address::server(text)?]
    } else {
        let others =
            sections.iter().map(|section| section.name.text.as_str()).filter(|name| *name != pool.name);
        let hint = did_you_mean(text, others);
        return Err(format!(
            "must be \"host:port:weight [name]\", \"/path:weight [name]\" or the name of another pool, found \
             \"{text}\"{hint}"
        ));
    };
    match servers.iter().find(|server| pool.servers.iter().any(|own| own.address == server.address)) {
        Some(own) => Err(format!("must not be one of the pool's own servers, found {}", own.address)),
        None => Ok(servers),
    }
}

fn of_pool(pool: &Pool, other: &Pool) -> Result<Vec<Server>, String> {
    let differs = [
        ("redis", pool.protocol != other.protocol),
        ("redis_auth", pool.redis_auth != other.redis_auth),
        ("redis_db", pool.redis_db != other.redis_db),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        Some((key, _)) => {
            Err(format!("must be a pool with the same \"{key}\", which '{}' has not", other.name))
        }
        None => Ok(other.own_servers().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::units::Millis;
    use std::io;

    fn file(settings: &str) -> String {
        format!(
            "alpha:\n  listen: 127.0.0.1:1\n  {settings}\n  servers:\n  - h:6379:1 a\n  - i:6379:1 b\n{BETA}"
        )
    }

    fn read(text: &str) -> Result<Pool, Vec<String>> {
        match load(text, &|_, _| Err(io::Error::other("no such name"))) {
            Ok(mut settings) => {
                let place = settings.pools.iter().position(|pool| pool.name == "alpha");
                Ok(settings.pools.remove(place.expect("it is there")))
            }
            Err(mistakes) => Err(mistakes.iter().map(Mistake::to_string).collect()),
        }
    }

    fn names(pool: &Pool) -> Vec<(&str, &str, bool)> {
        pool.servers.iter().map(|s| (s.name.as_str(), s.placed_name(), s.standby)).collect()
    }

    #[test]
    fn a_server_or_a_pool_stands_by() {
        let pool = read(&file("on_failure: standby\n  standby: j:6379:3 spare")).expect("a good file");
        assert_eq!((pool.on_failure, pool.on_return), (OnFailure::Standby(Millis(10_000)), OnReturn::Keep));
        assert!(pool.on_failure.ejects(), "failures are counted as for ejection");
        let own = [("a", "a", false), ("b", "b", false)];
        assert_eq!(names(&pool), [&own[..], &[("standby:spare", "spare", true)]].concat());
        assert_eq!(pool.own_servers().len(), 2);

        let text = file("on_failure: standby\n  standby: beta\n  standby_ttl: 1m\n  on_return: invalidate");
        let pool = read(&text).expect("a good file");
        assert_eq!(
            (pool.on_failure, pool.on_return),
            (OnFailure::Standby(Millis(60_000)), OnReturn::Invalidate)
        );
        let spares = [("standby:a", "a", true), ("standby:x", "x", true)];
        assert_eq!(
            names(&pool),
            [&own[..], &spares].concat(),
            "in twemproxy's order, under names of their own"
        );
    }

    #[test]
    fn ejection_goes_with_any_return() {
        for (word, expected) in
            [("keep", OnReturn::Keep), ("flush", OnReturn::Flush), ("invalidate", OnReturn::Invalidate)]
        {
            let pool =
                read(&file(&format!("auto_eject_hosts: true\n  on_return: {word}"))).expect("a good file");
            assert_eq!((pool.on_failure, pool.on_return), (OnFailure::Eject, expected));
        }
    }

    #[test]
    fn each_mistake_is_told_with_its_line() {
        for (settings, expected) in [
            (
                "on_failure: standbi",
                r#"line 3: pool 'alpha': "on_failure" must be eject or error or standby, found"#,
            ),
            ("on_failure: standby", r#"line 3: pool 'alpha': "on_failure" needs "standby" beside it"#),
            (
                "standby: beta",
                r#"line 3: pool 'alpha': "standby" has no effect without "on_failure: standby""#,
            ),
            ("standby_ttl: 5s", r#"line 3: pool 'alpha': "standby_ttl" has no effect without "#),
            (
                "on_failure: standby\n  standby: bta",
                r#"line 4: pool 'alpha': "standby" must be "host:port:weight"#,
            ),
            ("on_failure: standby\n  standby: bta", r#"found "bta"; did you mean "beta"?"#),
            (
                "on_failure: standby\n  standby: h:1",
                r#"line 4: pool 'alpha': "standby" must hold "host:port:weight"#,
            ),
            ("on_failure: standby\n  standby: alpha", "must be another pool, found the pool itself"),
            (
                "on_failure: standby\n  standby: i:6379:1",
                "must not be one of the pool's own servers, found i:6379",
            ),
            (
                "on_failure: standby\n  standby: other",
                r#"must be a pool with the same "redis", which 'other' has not"#,
            ),
            (
                "on_failure: standby\n  standby: beta\n  standby_ttl: 900ms",
                r#""standby_ttl" must be at least 1000"#,
            ),
            ("redis: true\n  redis_db: 1\n  on_failure: standby\n  standby: other", r#"the same "redis_db""#),
            (
                "redis: true\n  redis_auth: x\n  on_failure: standby\n  standby: other",
                r#"the same "redis_auth""#,
            ),
            ("on_return: flush", r#"line 3: pool 'alpha': "on_return" must be keep where servers stay in"#),
            ("on_return: drop", r#""on_return" must be keep or flush or invalidate, found "drop""#),
            (
                "on_failure: eject\n  distribution: random\n  on_return: flush",
                r#"line 5: pool 'alpha': "on_return" must be keep with "distribution: random""#,
            ),
        ] {
            let told = read(&file(settings)).expect_err(settings);
            assert!(told.len() == 1 && told[0].contains(expected), "{settings}\n{told:#?}");
        }
    }

    const BETA: &str = "beta:\n  listen: 127.0.0.1:2\n  servers:\n  - k:6379:1 x\n  - l:6379:1 a\n\
                        other:\n  listen: 127.0.0.1:3\n  redis: true\n  servers:\n  - k:6379:1 x\n";
}
