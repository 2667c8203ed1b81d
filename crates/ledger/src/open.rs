//! Opening: address, connection settings, schema versions, counters.

use crate::seal::{Sealer, private};
use crate::{Error, OpenError};
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Connection, Executor, Row, Transaction};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The schema, one text per version, applied in order, each in a transaction.
const SCHEMA: [&str; 2] = [include_str!("schema/1.sql"), include_str!("schema/2.sql")];

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
        target.keep_private()?;
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
                    connection
                        .execute(
                            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
                             PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON;",
                        )
                        .await?;
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
        Ok(Self { pool, sealer: None })
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
