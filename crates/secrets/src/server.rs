//! The server: the core with its clock, its questions and its expiry task. Owns the order "do, make durable, record,
//! answer"; the caller owns listeners.

use crate::audit::Trail;
use crate::core::Core;
use crate::core::context::After;
use crate::core::handle::Expired;
use crate::core::request::{Op, Request, Response, wipe};
use crate::core::seal::{InitResult, SealConfig};
use crate::external::{Answer, Question, SqlQuestion};
use crate::http::Asker;
use crate::{Error, Result, http, sys};
use herder_base::Clock;
use herder_store::Store;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many things outside are undone at the same time.
const MOST_UNDOING: usize = 8;
/// How long an end waits for requests that change something: longer than a database may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the entries are.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A store the caller opened.
    Store(Store),
    /// A file of the server's own.
    File(PathBuf),
    /// Gone with the process.
    InMemory,
}

/// What a server needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the entries are.
    pub storage: Storage,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Address clients reach the server at, for answers that name it; may be empty.
    pub api_addr: String,
}

/// A Vault-compatible server, sealed until it is unsealed. Clones share it.
#[derive(Clone)]
pub struct Server {
    pub(crate) core: Arc<Core>,
    asker: Arc<Asker>,
    /// Requests that come to their end whether or not their client still waits.
    pub(crate) tasks: TaskTracker,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("sealed", &self.core.is_sealed())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the storage; the server starts sealed.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(config: Config) -> std::result::Result<Self, herder_store::OpenError> {
        let store = match config.storage {
            Storage::Store(store) => store,
            Storage::File(path) => Store::open(path)?,
            Storage::InMemory => Store::in_memory(),
        };
        Ok(Self {
            core: Arc::new(Core::new(store, config.clock, config.api_addr)),
            asker: Arc::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Initialises with so many key shares, of which so many are needed; the server stays sealed. The first token's id
    /// may be given, which only a server for development should do.
    ///
    /// # Errors
    /// If it is initialised, the numbers are impossible, or the storage fails.
    pub async fn init(&self, shares: usize, threshold: usize, root_id: Option<String>) -> Result<InitResult> {
        self.core.init(SealConfig { shares, threshold }, root_id).await
    }

    /// Opens the audit devices' files anew, after they were moved away.
    ///
    /// # Errors
    /// If one cannot be opened; then nothing is answered until it can.
    pub fn reopen_audit_files(&self) -> Result<()> {
        self.core.sinks.reopen()
    }

    /// The HTTP interface. Whoever serves it may put [`crate::PeerCertificates`] and `ConnectInfo<SocketAddr>` into the
    /// requests' extensions.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    /// Waits until no request that changes something is under way any more, but not for ever. Whoever serves the router
    /// themselves waits for this before the process ends; [`Self::serve`] and [`Self::run`] do so.
    pub async fn drained(&self) {
        // A closed tracker takes tasks all the same; closing only lets the waiting end.
        self.tasks.close();
        if tokio::time::timeout(PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still under way at the end");
        }
    }

    /// Serves on a listener until cancelled, then drains.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        cancel: CancellationToken,
    ) {
        http::serve::serve(self.clone(), listener, tls, cancel).await;
    }

    /// Ends leases and tokens when their time comes and replaces worn keys, until cancelled. Nothing expired is ever
    /// valid without this; it only tidies.
    pub async fn run(self, cancel: CancellationToken) {
        let mut undoing = JoinSet::new();
        loop {
            let wait = match self.core.queue.next() {
                // The clock may be another than tokio's, so never sleep long on its word alone.
                Some(at) => {
                    let left = at.duration_since(self.core.clock.now());
                    Duration::try_from(left)
                        .unwrap_or(Duration::ZERO)
                        .min(Duration::from_secs(60))
                }
                None => Duration::from_secs(60),
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.core.wake.notified() => {}
                Some(_) = undoing.join_next(), if !undoing.is_empty() => {}
                () = tokio::time::sleep(wait) => {}
            }
            match self.core.keep_keyring().await {
                Ok(()) | Err(Error::Sealed) => {}
                Err(error) => {
                    tracing::error!(error = %herder_base::chain(&error), "the keyring could not be stored");
                }
            }
            self.expire(&mut undoing, &cancel).await;
        }
        // What was being undone is stored until it is done: the next start finds it again.
        undoing.shutdown().await;
        self.drained().await;
    }

    /// Ends everything whose time has come, and begins what must be undone outside. Waits for no database: one that
    /// says nothing may hold up other databases a little, but nothing else.
    async fn expire(&self, undoing: &mut JoinSet<()>, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            match self.core.expire_one().await {
                Ok(Expired::Done) => {}
                Ok(Expired::Undo(id)) => {
                    while undoing.try_join_next().is_some() {}
                    if undoing.len() < MOST_UNDOING {
                        undoing.spawn(self.clone().undo(id));
                    } else {
                        self.core.undo_later(id, 5);
                    }
                }
                Ok(Expired::Nothing) | Err(Error::Sealed) => break,
                Err(error) => {
                    tracing::error!(error = %herder_base::chain(&error), "expired leases could not be ended");
                    break;
                }
            }
        }
    }

    /// Undoes one thing outside, or leaves it for later.
    async fn undo(self, id: String) {
        let outcome = async {
            let Some(question) = self.core.undoing(&id)? else {
                return Ok(());
            };
            let reply = http::sql::ask(&question).await;
            if let Err(reason) = &reply {
                tracing::warn!(
                    id,
                    reason,
                    "a database user could not be removed yet; trying again later"
                );
            }
            self.core.undone(&id, reply.is_ok()).await
        };
        match outcome.await {
            // Unsealing finds the entry again.
            Ok(()) | Err(Error::Sealed) => {}
            Err(error) => {
                tracing::error!(id, error = %herder_base::chain(&error), "the outbox cannot be written");
                self.core.undo_later(id, 60);
            }
        }
    }

    /// Answers a request: done and durable, then recorded, then given.
    ///
    /// # Errors
    /// [`Error`] as the client shall see it.
    pub async fn handle(&self, mut request: Request) -> Result<Response> {
        self.answer(&mut request).await
    }

    /// The same for a request the caller goes on using.
    pub(crate) async fn answer(&self, request: &mut Request) -> Result<Response> {
        if let Some(answer) = sys::outside::handle(&self.core, request).await {
            return answer;
        }
        let mut trail = Trail::default();
        let outcome = self.finish(request, &mut trail).await;
        trail.response(&self.core, request, &outcome).await?;
        outcome
    }

    async fn finish(&self, request: &mut Request, trail: &mut Trail) -> Result<Response> {
        let mut turn = None;
        // More than a few questions for one log in would be a loop.
        for _ in 0..5 {
            let attempt = if is_slow(request) {
                let core = Arc::clone(&self.core);
                let mut asked = request.clone();
                let mut moved = std::mem::take(trail);
                let (attempt, moved) = tokio::task::spawn_blocking(move || {
                    let attempt = core.attempt(&asked, &mut moved);
                    wipe(&mut asked.data);
                    (attempt, moved)
                })
                .await
                .map_err(|_| Error::Internal("the request ended abnormally"))?;
                *trail = moved;
                attempt
            } else {
                self.core.attempt(request, trail)
            };
            match attempt {
                Ok(done) => {
                    if let Some(pending) = done.pending {
                        pending.durable().await?;
                    }
                    for after in done.after {
                        match after {
                            After::Seal => self.core.seal(),
                            After::Rotate => self.core.rotate().await?,
                            After::Audit(devices) => self.core.sinks.replace(&devices)?,
                        }
                    }
                    return Ok(done.response);
                }
                Err(Error::Needs(question)) => {
                    trail.flush(&self.core, request)?;
                    if turn.is_none()
                        && let Some(at) = rotates(&question)
                    {
                        turn = Some(self.core.rotations.turn(at).await);
                        // Begun anew: the password may have been replaced while this waited.
                        continue;
                    }
                    if let Some((id, undo)) = crate::engines::database::announced(&question)? {
                        self.core.announce(&id, &undo)?.durable().await?;
                    }
                    let reply = match &*question {
                        Question::Sql(sql) => self.ask_database(sql).await?,
                        Question::Http(http) => self.asker.ask(http).await,
                    };
                    request.answers.push(Answer { to: *question, reply });
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Internal("too many questions for one request"))
    }

    /// Asks a database. A new password of the server's own is stored first: if what comes back is not a plain yes, the
    /// password that counts is still known.
    async fn ask_database(
        &self,
        question: &SqlQuestion,
    ) -> Result<std::result::Result<(u16, Value), String>> {
        let made = &question.made;
        if let Some(at) = &made.rotates {
            self.core.propose(at, &made.password).await?;
        }
        let (accepted, outcome) = http::sql::ask_as(question).await;
        if let (Some(at), Err(_)) = (&made.rotates, &outcome) {
            let accepted = accepted.map(|password| password.as_str());
            self.core.unproven(at, &made.password, accepted).await?;
        }
        Ok(outcome.map(|()| (200, Value::Null)))
    }
}

/// Where the connection is stored that a question gives another password.
fn rotates(question: &Question) -> Option<&str> {
    match question {
        Question::Sql(question) => question.made.rotates.as_deref(),
        Question::Http(_) => None,
    }
}

/// Requests that make or use large keys, or stretch passwords: they would hold up everybody else.
fn is_slow(request: &Request) -> bool {
    request.op == Op::Write
        && !request.path.starts_with("sys/")
        && [
            "/issue/",
            "/generate/",
            "/sign",
            "/issuers/",
            "/root/",
            "/keys/",
            "/login/",
            "/users/",
            "/revoke",
            "/rotate",
            "/verify/",
            "/config/",
        ]
        .iter()
        .any(|part| request.path.contains(part))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]

    use super::*;
    use crate::core::mounts::Mounts;
    use crate::core::outbox::Undo;
    use crate::core::txn::Txn;
    use herder_base::SystemClock;
    use serde_json::json;

    async fn opened() -> Server {
        let server = Server::open(Config {
            storage: Storage::InMemory,
            clock: Arc::new(SystemClock),
            api_addr: String::new(),
        })
        .unwrap();
        let init = server.init(1, 1, Some("root".to_owned())).await.unwrap();
        let key = hex::encode(&*init.keys[0]);
        ask(&server, Op::Write, "sys/unseal", json!({ "key": key }))
            .await
            .unwrap();
        server
    }

    async fn ask(server: &Server, op: Op, path: &str, data: Value) -> Result<Response> {
        server
            .handle(Request::new(op, path).with(data).token("root"))
            .await
    }

    #[tokio::test]
    async fn users_are_dropped_where_the_connection_leads_now() {
        let server = opened().await;
        ask(&server, Op::Write, "sys/mounts/db", json!({ "type": "database" }))
            .await
            .unwrap();
        let config = json!({
            "plugin_name": "postgresql-database-plugin", "verify_connection": false,
            "connection_url": "postgresql://{{username}}:{{password}}@new.example/x", "username": "new", "password": "p",
        });
        ask(&server, Op::Write, "db/config/main", config).await.unwrap();
        let (keyring, _) = server.core.opened().unwrap();
        let mut txn = Txn::new(&server.core.store, keyring, &server.core.cache);
        let mounts = Mounts::load(&mut txn).unwrap();
        let undo = Undo {
            due: server.core.clock.now(),
            connection: mounts.find("db/config/main").unwrap().0.prefix() + "config/main",
            url: "postgresql://old.example/x".to_owned(),
            username: "old".to_owned(),
            ..Undo::default()
        };
        let pending = server.core.announce("v-1", &undo).unwrap();
        pending.durable().await.unwrap();
        let question = server.core.undoing("v-1").unwrap().unwrap();
        assert_eq!(question.url, "postgresql://new.example/x");
        assert_eq!(question.username, "new");
        assert_eq!(question.only_if_role.as_deref(), Some("v-1"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_database_holds_up_neither_expiry_nor_the_end() {
        let server = opened().await;
        // Connections wait in the listener's queue and are never answered.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let now = server.core.clock.now();
        for number in 0..2 * MOST_UNDOING {
            let undo = Undo {
                due: now,
                connection: "none".to_owned(),
                url: format!("postgresql://{}/x?sslmode=disable", silent.local_addr().unwrap()),
                ..Undo::default()
            };
            let pending = server.core.announce(&format!("v-{number}"), &undo).unwrap();
            pending.durable().await.unwrap();
        }
        let made = ask(&server, Op::Write, "auth/token/create", json!({ "ttl": "1s" }))
            .await
            .unwrap();
        let accessor = made.auth.unwrap().accessor;
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.clone().run(cancel.clone()));
        let mut ended = false;
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let list = ask(&server, Op::List, "auth/token/accessors/", json!({}))
                .await
                .unwrap();
            if !format!("{:?}", list.data).contains(&accessor) {
                ended = true;
                break;
            }
        }
        assert!(ended, "the token is still stored");
        cancel.cancel();
        tokio::time::timeout(Duration::from_secs(3), tasks.join_next())
            .await
            .unwrap();
    }
}
