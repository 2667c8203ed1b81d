//! What can go wrong with the ledger.

use thiserror::Error;

/// The ledger could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL names no database this binary speaks to.
    #[error("`{0}` is no ledger address: write a path, `sqlite://PATH` or `postgres://USER@HOST/DATABASE`")]
    Address(String),
    /// The directory of the database file cannot be made.
    #[error("the ledger's directory `{path}` cannot be created")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database refused the connection.
    #[error("the ledger at `{at}` cannot be opened")]
    Connect {
        /// The address, without a password.
        at: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("the ledger's tables at `{at}` cannot be brought to version {version}")]
    Migrate {
        /// The address, without a password.
        at: String,
        /// The schema version that failed.
        version: i64,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The file cannot be made private.
    #[error("the ledger's file `{path}` cannot be made its owner's alone")]
    Private {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "`{0}` is no ledger: it does not begin as an SQLite file does; put the ledger back from a backup, or move this file away"
    )]
    NotALedger(String),
    /// The file began as a ledger, but cannot be read.
    #[error(
        "the ledger `{at}` is damaged: put it back from a backup, or move it away together with what SQLite keeps beside it"
    )]
    Damaged {
        /// The file.
        at: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// There was a ledger, and there is none now.
    #[error(
        "the ledger `{path}` {how}, but `{head}` says that it held {entries} audit entries: put it back from a backup; \
         to begin a new one and give up runs, leases, promotions and the audit chain, move `{head}` away"
    )]
    Lost {
        /// The file.
        path: String,
        /// `is missing` or `is empty`.
        how: &'static str,
        /// How many entries its chain had.
        entries: u64,
        /// The file that says so.
        head: String,
    },
    /// The chain's seal cannot be opened.
    #[error("the seal of the audit chain cannot be opened")]
    Seal(#[from] SealError),
    /// A newer binary wrote this ledger.
    #[error("the ledger at `{at}` has version {found}, this binary knows {known}: use the newer binary")]
    Newer {
        /// The address, without a password.
        at: String,
        /// The version found.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
}

/// A statement failed, or a row holds what it should not.
#[derive(Debug, Error)]
pub enum Error {
    /// The database failed.
    #[error("the ledger cannot {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// A stored value cannot be read back.
    #[error("the ledger's column `{column}` holds `{value}`, which cannot be read")]
    Column {
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// A plan does not follow the last one: something else was decided, or has ended, meanwhile.
    #[error("plan {generation} is stale: the last one is plan {last}")]
    Stale {
        /// The plan's generation.
        generation: u64,
        /// The last recorded one's.
        last: u64,
    },
    /// The last plan has neither outcomes nor been dropped.
    #[error("plan {0} has not ended")]
    PlanOpen(u64),
    /// The chain was extended, but its end could not be kept outside the ledger.
    #[error("the end of the audit chain cannot be sealed")]
    Seal(#[from] SealError),
    /// There is no such run.
    #[error("there is no run {job} #{number}")]
    NoRun {
        /// The job.
        job: String,
        /// The number.
        number: u64,
    },
}

impl Error {
    /// Wraps a driver's error with what was tried.
    pub(crate) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }
}

/// The audit chain cannot be sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// A file.
    #[error("the file {path} cannot be read or written")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file holds something else.
    #[error("{0} is no key for sealing the audit chain: it holds 64 hexadecimal digits")]
    Key(String),
    /// The head outside the ledger holds something else.
    #[error(
        "{path} is no sealed head of the audit chain: put it back from a backup, or move it away to begin a new seal"
    )]
    Head {
        /// Which.
        path: String,
    },
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers")]
    Random,
}
