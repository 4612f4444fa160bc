//! Which of the commands that servers tell of may run on a connection that many clients share: those that have keys, all
//! of them known, and nothing about them that others would notice.

use super::Route;
use super::flags::{Acl, Flags, KeyFlags};
use super::keys::{Begin, Find, KeySpec};
use super::learn::Row;

impl Row {
    /// To the server of its keys, if it is one of those commands that may run on a connection which many clients share.
    pub(super) fn route(&self) -> Route {
        let danger = DANGERS.iter().find(|(flag, _)| self.flags.has(*flag)).map(|(_, why)| *why);
        let listed = LISTED.iter().find(|(category, _)| self.acl.has(*category)).map(|(_, why)| *why);
        if let Some(why) = danger.or(listed) {
            return Route::Refused(why);
        }
        let unknown = |spec: &KeySpec| {
            spec.begin == Begin::Unknown
                || spec.find == Find::Unknown
                || spec.flags.has(KeyFlags::INCOMPLETE)
                // A module that finds its keys itself: what it tells of them is a guess.
                || (spec.flags.has(KeyFlags::VARIABLE_FLAGS)
                    && self.flags.has(Flags::of(&[Flags::MODULE, Flags::MOVABLEKEYS])))
        };
        if self.unclear || self.specs().any(unknown) {
            return Route::Refused("its server does not say where its keys are");
        }
        match self.specs().next() {
            Some(_) => Route::ByKey,
            None if self.flags.has(Flags::MOVABLEKEYS) => {
                Route::Refused("its server does not say where its keys are")
            }
            None => Route::Refused("it takes no key, so nothing says which server is meant"),
        }
    }
}

/// What a command must not be, to run on a connection that many clients share.
const DANGERS: &[(Flags, &str)] = &[
    (Flags::BLOCKING, WAITS),
    (Flags::PUBSUB, "it is of pub/sub"),
    (Flags::ADMIN, "it is for administrators of its server"),
    (Flags::NO_AUTH, CONNECTION),
    (Flags::NO_MULTI, CONNECTION),
    (
        Flags::NOSCRIPT,
        "scripts may not call it, so it may wait or change its connection, which many clients share",
    ),
    (Flags::ALL_DBS, "it reaches into other databases"),
    (Flags::TOUCHES_ARBITRARY_KEYS, "it touches keys that it does not name"),
];

/// The same by categories of access lists: before redis 7 some flags are missing.
const LISTED: &[(Acl, &str)] = &[
    (Acl::BLOCKING, WAITS),
    (Acl::PUBSUB, "it is of pub/sub"),
    (Acl::ADMIN, "it is for administrators of its server"),
    (Acl::CONNECTION, CONNECTION),
    (Acl::TRANSACTION, CONNECTION),
];

const WAITS: &str = "it may wait, and many clients share its connection";
const CONNECTION: &str = "it may change its connection, which many clients share";
