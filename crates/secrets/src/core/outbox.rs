//! What must still be undone outside: users to be dropped in databases. An entry is stored in the same transaction as
//! the end of what it belongs to, so it outlives a crash, and is tried until it succeeds. An entry written before its
//! user is made undoes a creation that never came to its end. Owns the stored form; the server asks.

use super::Core;
use super::context::Cx;
use super::expiry::Target;
use super::token::after;
use super::txn::Txn;
use crate::Result;
use crate::external::SqlQuestion;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

/// One thing to undo.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Undo {
    pub(crate) due: Timestamp,
    pub(crate) tries: u32,
    /// Where the connection's present settings are; they count if they are still there.
    pub(crate) connection: String,
    pub(crate) url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) statements: Vec<String>,
    /// Each statement is committed by itself.
    #[serde(default)]
    pub(crate) separate: bool,
}

fn key(id: &str) -> String {
    format!("sys/outbox/{id}")
}

/// Stores an entry.
pub(crate) fn put(cx: &mut Cx<'_>, id: &str, undo: &Undo) -> Result<()> {
    cx.txn.put(&key(id), undo)?;
    cx.schedule(undo.due, Target::Undo(id.to_owned()));
    Ok(())
}

/// Forgets an entry: what it would undo has its lease now.
pub(crate) fn forget(cx: &mut Cx<'_>, id: &str) {
    cx.txn.delete(&key(id));
}

/// When each entry is due.
pub(crate) fn all(txn: &mut Txn<'_>) -> Result<Vec<(Timestamp, Target)>> {
    let mut found = Vec::new();
    for id in txn.list("sys/outbox/") {
        if let Some(undo) = txn.get::<Undo>(&key(&id))? {
            found.push((undo.due, Target::Undo(id)));
        }
    }
    Ok(found)
}

impl Core {
    /// Stores an entry before its user is made, and says what to wait for.
    pub(crate) fn announce(&self, id: &str, undo: &Undo) -> Result<herder_store::Pending> {
        let _writing = self.write_lock();
        let (keyring, _) = self.opened()?;
        let mut txn = Txn::new(&self.store, keyring, &self.cache);
        txn.put(&key(id), undo)?;
        let pending = self.store.submit(txn.ops()?)?;
        self.queue.push([(undo.due, Target::Undo(id.to_owned()))]);
        self.wake.notify_one();
        Ok(pending)
    }

    /// What to ask for an entry; `None` if it is gone or not due yet.
    pub(crate) fn undoing(&self, id: &str) -> Result<Option<SqlQuestion>> {
        let (keyring, _) = self.opened()?;
        let mut txn = Txn::new(&self.store, Arc::clone(&keyring), &self.cache);
        let Some(undo) = txn.get::<Undo>(&key(id))? else {
            return Ok(None);
        };
        if undo.due > self.clock.now() {
            return Ok(None);
        }
        // The settings as they are now, all of them together: the present password is for nobody but the present server.
        let mut question = match crate::engines::database::reach(&mut txn, &undo.connection)? {
            Some(live) => live,
            None => SqlQuestion {
                url: undo.url,
                username: undo.username,
                password: Zeroizing::new(undo.password),
                ..SqlQuestion::default()
            },
        };
        question.about = format!("undo {id}");
        question.statements = undo.statements.into_iter().map(Zeroizing::new).collect();
        question.separate = undo.separate;
        // An entry is stored under its user's name; who is gone needs no undoing, whatever the statements are.
        question.only_if_role = Some(id.to_owned());
        Ok(Some(question))
    }

    /// Puts an entry that was taken from the queue back into it.
    pub(crate) fn undo_later(&self, id: String, seconds: i64) {
        let at = after(self.clock.now(), seconds);
        self.queue.push([(at, Target::Undo(id))]);
    }

    /// Notes how it went: forgets the entry, or tries again later and later, up to once an hour.
    pub(crate) async fn undone(&self, id: &str, success: bool) -> Result<()> {
        let pending = {
            let _writing = self.write_lock();
            let (keyring, _) = self.opened()?;
            let mut txn = Txn::new(&self.store, keyring, &self.cache);
            let Some(mut undo) = txn.get::<Undo>(&key(id))? else {
                return Ok(());
            };
            if success {
                txn.delete(&key(id));
            } else {
                undo.tries = undo.tries.saturating_add(1);
                undo.due = after(self.clock.now(), (5_i64 << undo.tries.min(10)).min(3600));
                txn.put(&key(id), &undo)?;
                self.queue.push([(undo.due, Target::Undo(id.to_owned()))]);
                self.wake.notify_one();
            }
            self.store.submit(txn.ops()?)?
        };
        pending.durable().await?;
        Ok(())
    }
}
