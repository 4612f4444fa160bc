//! The commands about clients, servers and clusters that the proxy answers for itself.

/// The forms of CLIENT that have more to them than a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the commands")]
pub enum ClientCall {
    List,
    Kill,
    Unblock,
    Reply,
    Pause,
    Unpause,
    NoEvict,
    NoTouch,
    Tracking,
    Caching,
    Getredir,
    Trackinginfo,
}

/// Answers of a server on which nothing of the kind has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// ACL WHOAMI.
    AclWhoami,
    /// ACL CAT.
    AclCat,
    /// ACL USERS.
    AclUsers,
    /// ACL LIST.
    AclList,
    /// ACL GETUSER.
    AclGetuser,
    /// ACL LOG.
    AclLog,
    /// ACL DRYRUN.
    AclDryrun,
    /// ROLE.
    Role,
    /// An empty array.
    Nothing,
    /// An empty array, to a request that may say how many elements it wants.
    NothingOf,
    /// An empty map.
    NoFields,
    /// 0.
    Zero,
    /// OK.
    Done,
    /// LATENCY DOCTOR.
    LatencyDoctor,
    /// LATENCY GRAPH.
    LatencyGraph,
}

/// CLUSTER and its kin, as one server without a cluster, or with `cluster_emulation` as the one that has all slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the commands")]
pub enum ClusterCall {
    Info,
    Nodes,
    Slots,
    Shards,
    Keyslot,
    Myid,
    Myshardid,
    /// An array that is empty where there is only one server.
    Nobody,
    /// What nobody knows of a slot whose keys are on several servers.
    KeysOfSlot,
    Help,
    /// READONLY, READWRITE, ASKING: there is nobody else to ask.
    Mode,
}
