//! Points at which a test kills the process, as a power cut would: `FAILPOINT_KILL=NAME` in the environment of a debug
//! build (`tests/crash_steps.rs`). `FAILPOINT_STALL=NAME` has the thread that gets there stay there, as a disk does that
//! never answers (`tests/systemd.rs`). In a release build reaching one does nothing.

/// A point on a message's path; the numbers are the steps of `ARCHITECTURE.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// 7: the content is complete, with its trace field in front.
    ContentComplete,
    /// 8: the content's own file is written.
    ContentWritten,
    /// 8: the content's own file is durable, and no record names it.
    ContentSynced,
    /// 8: the record is written, and not durable.
    RecordWritten,
    /// 8: the record is durable: synced, or with `[store]`, its copy committed.
    RecordSynced,
    /// 9: the message is durable, and its client has no reply.
    Unanswered,
    /// 10: a lane has claimed the message.
    Claimed,
    /// 11: there are credentials, a token or a password.
    CredentialsReady,
    /// 12: a connection is logged in.
    LoggedIn,
    /// 13: the server has said 354.
    DataAccepted,
    /// 13: some of the content is sent.
    ContentUnderWay,
    /// 13: the final dot is sent.
    DotSent,
    /// 14: the transaction is over, and nothing of it is written.
    Transacted,
    /// 14: the departure is written, and not durable.
    DepartureWritten,
    /// 14: the departure is durable.
    DepartureSynced,
    /// Beside the path: the queue has a message that is still in the spool.
    SpoolCommitted,
}

impl Point {
    /// Those of the path, in its order.
    pub const ALL: [Self; 15] = [
        Self::ContentComplete,
        Self::ContentWritten,
        Self::ContentSynced,
        Self::RecordWritten,
        Self::RecordSynced,
        Self::Unanswered,
        Self::Claimed,
        Self::CredentialsReady,
        Self::LoggedIn,
        Self::DataAccepted,
        Self::ContentUnderWay,
        Self::DotSent,
        Self::Transacted,
        Self::DepartureWritten,
        Self::DepartureSynced,
    ];

    /// Its name in the environment.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// The environment variable that names the point at which the process is killed.
pub const VARIABLE: &str = "FAILPOINT_KILL";

/// The environment variable that names the point at which a thread stays for good.
pub const STALL: &str = "FAILPOINT_STALL";

/// Ends the process with SIGKILL, or stays for good, where this is the point that a test has named.
#[cfg(debug_assertions)]
pub fn reach(point: Point) {
    static NAMED: std::sync::OnceLock<[Option<String>; 2]> = std::sync::OnceLock::new();
    let [kill, stall] = NAMED.get_or_init(|| [VARIABLE, STALL].map(|variable| std::env::var(variable).ok()));
    let is_named = |named: &Option<String>| named.as_ref().is_some_and(|named| *named == point.name());
    if is_named(kill) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    while is_named(stall) {
        std::thread::park();
    }
}

/// Nothing: release builds have no fail-points.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reach(_: Point) {}
