//! What the server does by itself: ending what has expired, undoing outside what belonged to it, replacing passwords and
//! keys that are due. Owns the tasks for it and how many there are; what is due is the core's.

use crate::core::handle::Expired;
use crate::core::request::{Op, Request};
use crate::engines::Rotation;
use crate::server::Server;
use crate::{Error, http};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many things outside are undone at the same time.
const MOST_UNDOING: usize = 8;

impl Server {
    /// Ends leases and tokens when their time comes, and replaces worn keys and what is to be replaced by itself, until
    /// cancelled. Nothing expired is ever valid without this; it only tidies.
    pub async fn run(self, cancel: CancellationToken) {
        let mut undoing = JoinSet::new();
        let mut rotating = JoinSet::new();
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
                Some(_) = rotating.join_next(), if !rotating.is_empty() => {}
                () = tokio::time::sleep(wait) => {}
            }
            match self.core.keep_keyring().await {
                Ok(()) | Err(Error::Sealed) => {}
                Err(error) => {
                    tracing::error!(error = %herder_base::chain(&error), "the keyring could not be stored");
                }
            }
            self.expire(&mut undoing, &mut rotating, &cancel).await;
        }
        // What was being undone or replaced is stored until it is done: the next start finds it again.
        undoing.shutdown().await;
        rotating.shutdown().await;
        self.drained().await;
    }

    /// Ends everything whose time has come, and begins what must be undone or replaced. Waits for no database: one that
    /// says nothing may hold up other databases a little, but nothing else.
    async fn expire(
        &self,
        undoing: &mut JoinSet<()>,
        rotating: &mut JoinSet<()>,
        cancel: &CancellationToken,
    ) {
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
                Ok(Expired::Rotate(rotation)) => {
                    while rotating.try_join_next().is_some() {}
                    match self.core.rotations.room(&rotation.place) {
                        Some(room) => {
                            rotating.spawn(self.clone().rotate(rotation, room));
                        }
                        None => self.core.rotate_later(rotation.at, 5),
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
            let reply = http::sql::ask(&question).await.outcome;
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

    /// Replaces one password or key as if somebody had asked for it, so that it is recorded as any other request, or
    /// leaves it for later.
    async fn rotate(self, rotation: Rotation, _room: OwnedSemaphorePermit) {
        let mut request = Request::new(Op::Write, rotation.path.as_str());
        request.own = true;
        match self.answer(&mut request).await {
            Ok(_) => self.core.rotations.forget(&rotation.at),
            // Unsealing finds the entry again.
            Err(Error::Sealed) => {}
            Err(error) => {
                tracing::warn!(
                    path = rotation.path,
                    error = %herder_base::chain(&error),
                    "it could not be rotated yet; trying again later"
                );
                self.core.rotation_failed(rotation.at);
            }
        }
    }
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
    use crate::Result;
    use crate::core::mounts::Mounts;
    use crate::core::outbox::Undo;
    use crate::core::request::Response;
    use crate::core::txn::Txn;
    use crate::server::{Config, Storage};
    use herder_base::SystemClock;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use tokio::net::TcpListener;

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
            connection: mounts.of_lease("db/config/main").unwrap().prefix() + "config/main",
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
