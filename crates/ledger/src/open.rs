//! Opening: address, connection settings, schema versions, counters.

use crate::seal::{Sealer, private, sealed_entries, sync_directory};
use crate::{Error, OpenError};
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Connection, Executor, Row, Transaction};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The schema, one text per version, applied in order, each in a transaction.
const SCHEMA: [&str; 3] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
];

/// What every connection to SQLite is set to. An answer may be given once a transaction is committed, so a commit waits
/// for the disk: with less than FULL a loss of power takes the last ones back.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON;";

/// The first bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The ledger. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) pool: AnyPool,
    pub(crate) sealer: Option<Arc<Sealer>>,
}

impl Ledger {
    /// Opens, and creates or updates if needed, the ledger at a path, `sqlite://PATH`, `sqlite::memory:` or
    /// `postgres://…`.
    ///
    /// # Errors
    /// If the address is unknown, the database cannot be reached, or a newer binary wrote it.
    pub async fn open(address: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let target = Target::parse(address)?;
        target.is_ledger()?;
        target.keep_private()?;
        target.answers().await?;
        let mut options = AnyPoolOptions::new()
            .max_connections(target.connections)
            .acquire_timeout(Duration::from_secs(30));
        if target.sqlite {
            // An in-memory database lives as long as its one connection.
            if target.memory {
                options = options.min_connections(1).idle_timeout(None).max_lifetime(None);
            }
            options = options.after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(SETTINGS).await?;
                    Ok(())
                })
            });
        }
        let pool = options
            .connect(&target.url)
            .await
            .map_err(|source| OpenError::Connect {
                at: target.shown.clone(),
                source,
            })?;
        migrate(&pool, &target).await?;
        target.keep_private()?;
        target.keep_names()?;
        Ok(Self { pool, sealer: None })
    }

    /// Opens the ledger in a file, with its audit chain sealed, see [`Ledger::sealed`]. A file that is missing or empty
    /// although its chain was sealed before is not taken for a new ledger.
    ///
    /// # Errors
    /// As [`Ledger::open`] and [`Ledger::sealed`]; [`OpenError::Lost`].
    pub async fn open_sealed(file: &Path, key: &Path, head: &Path) -> Result<Self, OpenError> {
        let empty = match std::fs::metadata(file) {
            Ok(found) => found.len() == 0,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(source) => {
                return Err(OpenError::Private {
                    path: file.display().to_string(),
                    source,
                });
            }
        };
        if let Some(entries) = sealed_entries(head)?.filter(|entries| empty && *entries > 0) {
            return Err(OpenError::Lost {
                path: file.display().to_string(),
                how: if file.exists() { "is empty" } else { "is missing" },
                entries,
                head: head.display().to_string(),
            });
        }
        Self::open(&format!("sqlite://{}", file.display()))
            .await?
            .sealed(key, head)
    }

    /// The same ledger with its audit chain sealed by the key in one file, made if there is none; the newest sealed
    /// head is kept in another.
    ///
    /// # Errors
    /// If a file cannot be read or written, or holds something else.
    pub fn sealed(mut self, key: &Path, head: &Path) -> Result<Self, OpenError> {
        self.sealer = Some(Sealer::open(key, head)?);
        Ok(self)
    }

    /// Closes all connections, after the statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Takes the next number of a counter within a transaction: no gaps, because a rollback undoes it, and no
    /// doubles, because the counter's row stays locked until the commit.
    pub(crate) async fn next(transaction: &mut Transaction<'_, Any>, counter: &str) -> Result<i64, Error> {
        sqlx::query(
            "INSERT INTO counters (name, last) VALUES ($1, 1) \
             ON CONFLICT (name) DO UPDATE SET last = counters.last + 1 RETURNING last",
        )
        .bind(counter)
        .fetch_one(&mut **transaction)
        .await
        .and_then(|row| row.try_get("last"))
        .map_err(Error::database("take the next number"))
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, Error> {
        self.pool
            .begin()
            .await
            .map_err(Error::database("begin a transaction"))
    }
}

#[derive(Debug)]
struct Target {
    url: String,
    shown: String,
    sqlite: bool,
    memory: bool,
    connections: u32,
}

impl Target {
    /// What happened is nobody else's to read: the file, and what SQLite keeps beside it, which gets the file's rights
    /// when it is made.
    fn keep_private(&self) -> Result<(), OpenError> {
        if !self.sqlite || self.memory {
            return Ok(());
        }
        let fail = |path: &str| {
            let path = path.to_owned();
            move |source| OpenError::Private { path, source }
        };
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.shown)
            .map_err(fail(&self.shown))?;
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let path = format!("{}{suffix}", self.shown);
            match private(Path::new(&path)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses a file that is something else, before the driver tries it again and again.
    fn is_ledger(&self) -> Result<(), OpenError> {
        if !self.sqlite || self.memory {
            return Ok(());
        }
        let path = || self.shown.clone();
        let mut start = Vec::new();
        match std::fs::File::open(&self.shown) {
            Ok(file) => file
                .take(MAGIC.len() as u64)
                .read_to_end(&mut start)
                .map_err(|source| OpenError::Private { path: path(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(OpenError::Private { path: path(), source }),
        };
        if start.is_empty() || start == MAGIC {
            return Ok(());
        }
        Err(OpenError::NotALedger(path()))
    }

    /// Asks once without the pool, which would try again for half a minute and then say only that it did.
    async fn answers(&self) -> Result<(), OpenError> {
        if self.memory {
            return Ok(());
        }
        let ask = async {
            let mut connection = sqlx::AnyConnection::connect(&self.url).await?;
            if self.sqlite {
                connection.execute(SETTINGS).await?;
                connection.execute("SELECT COUNT(*) FROM sqlite_schema").await?;
            }
            connection.close().await
        };
        ask.await.map_err(|source| {
            let at = self.shown.clone();
            // SQLite's own codes: the image is malformed, the file is no database.
            let damaged = source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| self.sqlite && (code == "11" || code == "26"));
            if damaged {
                OpenError::Damaged { at, source }
            } else {
                OpenError::Connect { at, source }
            }
        })
    }

    /// Syncs the directory, so that a loss of power does not take the file's name.
    fn keep_names(&self) -> Result<(), OpenError> {
        if !self.sqlite || self.memory {
            return Ok(());
        }
        sync_directory(Path::new(&self.shown)).map_err(|source| OpenError::Private {
            path: self.shown.clone(),
            source,
        })
    }

    fn parse(address: &str) -> Result<Self, OpenError> {
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            return Ok(Self {
                url: address.to_owned(),
                shown: without_password(address),
                sqlite: false,
                memory: false,
                connections: 8,
            });
        }
        if address == "sqlite::memory:" {
            return Ok(Self {
                url: address.to_owned(),
                shown: address.to_owned(),
                sqlite: true,
                memory: true,
                connections: 1,
            });
        }
        let path = address.strip_prefix("sqlite://").unwrap_or(address);
        if path.is_empty() || path.contains("://") {
            return Err(OpenError::Address(without_password(address)));
        }
        if let Some(directory) = Path::new(path).parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(|source| OpenError::Directory {
                path: directory.display().to_string(),
                source,
            })?;
        }
        let escaped = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        Ok(Self {
            url: format!("sqlite://{escaped}?mode=rwc"),
            shown: path.to_owned(),
            sqlite: true,
            memory: false,
            connections: 4,
        })
    }
}

fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        None => address.to_owned(),
    }
}

async fn migrate(pool: &AnyPool, target: &Target) -> Result<(), OpenError> {
    let fail = |version: i64| {
        let at = target.shown.clone();
        move |source| OpenError::Migrate { at, version, source }
    };
    let known = i64::try_from(SCHEMA.len()).unwrap_or(i64::MAX);
    let mut connection = pool.acquire().await.map_err(fail(0))?;
    connection
        .execute("CREATE TABLE IF NOT EXISTS schema_version (id BIGINT PRIMARY KEY, version BIGINT NOT NULL)")
        .await
        .map_err(fail(0))?;
    connection
        .execute("INSERT INTO schema_version (id, version) VALUES (1, 0) ON CONFLICT (id) DO NOTHING")
        .await
        .map_err(fail(0))?;
    for (version, text) in (1i64..).zip(SCHEMA) {
        let mut transaction = connection.begin().await.map_err(fail(version))?;
        // The update takes the row's lock first, so two processes opening at once apply each version once.
        let found: i64 =
            sqlx::query("UPDATE schema_version SET version = version WHERE id = 1 RETURNING version")
                .fetch_one(&mut *transaction)
                .await
                .and_then(|row| row.try_get("version"))
                .map_err(fail(version))?;
        if found > known {
            return Err(OpenError::Newer {
                at: target.shown.clone(),
                found,
                known,
            });
        }
        if found < version {
            sqlx::raw_sql(text)
                .execute(&mut *transaction)
                .await
                .map_err(fail(version))?;
            sqlx::query("UPDATE schema_version SET version = $1 WHERE id = 1")
                .bind(version)
                .execute(&mut *transaction)
                .await
                .map_err(fail(version))?;
        }
        transaction.commit().await.map_err(fail(version))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ledger_of_the_version_before_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let mut old = sqlx::AnyConnection::connect(&url).await.unwrap();
        for text in [
            "CREATE TABLE schema_version (id BIGINT PRIMARY KEY, version BIGINT NOT NULL)",
            SCHEMA[0],
            SCHEMA[1],
            "INSERT INTO schema_version (id, version) VALUES (1, 2)",
            "INSERT INTO leases (environment, holder, since, until) VALUES ('dev', 'ada', 0, 5000)",
            "INSERT INTO facts (name, value) VALUES ('a', 'b')",
        ] {
            sqlx::raw_sql(text).execute(&mut old).await.unwrap();
        }
        old.close().await.unwrap();
        for _ in 0..2 {
            let ledger = Ledger::open(file.to_str().unwrap()).await.unwrap();
            assert_eq!(ledger.leases().await.unwrap()[0].by, "ada");
            assert_eq!(ledger.fact("a").await.unwrap().unwrap(), "b");
            assert_eq!(ledger.plan_head().await.unwrap(), None);
            ledger.close().await;
        }
    }

    #[tokio::test]
    async fn every_connection_waits_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path().join("l").to_str().unwrap())
            .await
            .unwrap();
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut connection = ledger.pool.acquire().await.unwrap();
            let row = sqlx::query("PRAGMA synchronous")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            assert_eq!(row.get::<i64, _>(0), 2, "2 is FULL");
            held.push(connection);
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(
            without_password("postgres://me:pa@ss@db/herder"),
            "postgres://me@db/herder"
        );
        assert!(matches!(Target::parse("mysql://x"), Err(OpenError::Address(_))));
        assert!(Target::parse("sqlite::memory:").unwrap().memory);
    }
}
