//! The way of one request: who asks, may they, record it, do it, give tokens and leases, wrap, commit, record the
//! answer. Owns the order of these steps and nothing else.

use super::acl::{Acl, Ask};
use super::context::Cx;
use super::mounts::Mounts;
use super::policy::Policy;
use super::request::{Op, Request, Response};
use super::token::{self, Holder};
use super::txn::Txn;
use super::{Core, lease, params, wrapping};
use crate::audit::Trail;
use crate::engines::Rotation;
use crate::{Error, Result, engines, sys};
use herder_store::{Pending, TxnError};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// Conflicts after which a request takes the write lock from the start, so that it cannot lose again.
const PATIENCE: usize = 3;

/// An answer that may be given once everything else here has happened.
pub(crate) struct Attempt {
    pub(crate) response: Response,
    pub(crate) pending: Option<Pending>,
    pub(crate) after: Vec<super::context::After>,
}

/// What happened to one thing whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// There was none.
    Nothing,
    /// It ended.
    Done,
    /// Something outside must be asked first.
    Undo(String),
    /// A password or key is to be replaced.
    Rotate(Rotation),
}

impl Core {
    /// Answers a request as far as that is possible without asking anybody: the answer is durable when the returned
    /// pending transaction is.
    pub(crate) fn attempt(&self, request: &Request, trail: &mut Trail) -> Result<Attempt> {
        let mut conflicts = 0;
        loop {
            let early = conflicts >= PATIENCE || ends_things(request);
            let mut guard = early.then(|| self.write_lock());
            let mut cx = self.cx()?;
            let outcome = evaluate(&mut cx, request, trail);
            let (response, ops) = match outcome {
                Ok(response) => (response, cx.txn.ops()?),
                Err(error) => {
                    if !matches!(error, Error::Needs(_)) {
                        drop(guard);
                        self.spend(request)?;
                    }
                    return Err(error);
                }
            };
            if ops.is_empty() {
                return Ok(Attempt {
                    response,
                    pending: None,
                    after: cx.after,
                });
            }
            trail.flush(self, request)?;
            guard.get_or_insert_with(|| self.write_lock());
            match self.store.submit(ops) {
                Ok(pending) => {
                    if !cx.scheduled.is_empty() {
                        self.queue.push(cx.scheduled);
                        self.wake.notify_one();
                    }
                    return Ok(Attempt {
                        response,
                        pending: Some(pending),
                        after: cx.after,
                    });
                }
                Err(TxnError::Conflict(_)) if conflicts < PATIENCE + 8 => conflicts += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether it is worth reading on a request whose body is long: only for who could be allowed what it asks, whatever
    /// the body says. Log ins and what needs no token are never long.
    pub(crate) fn may_be_long(&self, request: &Request) -> Result<bool> {
        let Some(id) = &request.token else {
            return Ok(false);
        };
        let mut cx = self.cx()?;
        let mounts = Mounts::load(&mut cx.txn)?;
        let Some((mount, rest)) = mounts.find(&request.path) else {
            return Ok(false);
        };
        if engines::is_public(mount, rest, request.op) {
            return Ok(false);
        }
        let Some(holder) = token::find(&mut cx, id)? else {
            return Ok(false);
        };
        Ok(params::cidr_allows(&holder.token.cidrs, request.remote)
            && acl_of(&mut cx, &holder)?.could(request.op, &request.path))
    }

    fn cx(&self) -> Result<Cx<'_>> {
        let (keyring, system) = self.opened()?;
        Ok(Cx {
            core: self,
            txn: Txn::new(&self.store, Arc::clone(&keyring), &self.cache),
            keyring,
            system,
            now: self.clock.now(),
            mount: Arc::default(),
            token: None,
            sudo: false,
            scheduled: Vec::new(),
            after: Vec::new(),
        })
    }

    /// Counts a use of a token whose request failed: the request's own writes, the count among them, did not happen.
    fn spend(&self, request: &Request) -> Result<()> {
        let Some(id) = &request.token else { return Ok(()) };
        let _writing = self.write_lock();
        let mut cx = self.cx()?;
        let Some(holder) = token::find(&mut cx, id)? else {
            return Ok(());
        };
        if holder.token.num_uses > 0 && &*request.path != "sys/wrapping/unwrap" {
            use_once(&mut cx, holder)?;
            // In memory at once; whether it survives a crash does not matter for an answer that gives nothing.
            drop(self.store.submit(cx.txn.ops()?)?);
        }
        Ok(())
    }

    /// Ends one token or lease whose time has come.
    pub(crate) async fn expire_one(&self) -> Result<Expired> {
        use super::expiry::Target;
        let now = self.clock.now();
        let Some(target) = self.queue.pop(now) else {
            return Ok(Expired::Nothing);
        };
        let target = match target {
            Target::Undo(id) => return Ok(Expired::Undo(id)),
            Target::Rotate(at) => return Ok(self.due(&at)?.map_or(Expired::Done, Expired::Rotate)),
            target => target,
        };
        let retry = target.clone();
        let result = {
            let _writing = self.write_lock();
            let (keyring, system) = self.opened()?;
            let mut cx = Cx {
                core: self,
                txn: Txn::new(&self.store, Arc::clone(&keyring), &self.cache),
                keyring,
                system,
                now,
                mount: Arc::default(),
                token: None,
                sudo: false,
                scheduled: Vec::new(),
                after: Vec::new(),
            };
            let done = match &target {
                // Renewed meanwhile: another hint is in the queue.
                Target::Token(hash) if token::by_hash(&mut cx.txn, hash, now)?.is_some() => Ok(()),
                Target::Token(hash) => token::revoke(&mut cx, hash, false),
                Target::Lease(id) => match lease::raw(&mut cx.txn, id)? {
                    Some(lease) if lease.expires > now => Ok(()),
                    _ => lease::revoke(&mut cx, id, false),
                },
                Target::Undo(_) | Target::Rotate(_) => Ok(()),
            };
            let scheduled = std::mem::take(&mut cx.scheduled);
            done.and_then(|()| {
                let pending = self.store.submit(cx.txn.ops()?)?;
                self.queue.push(scheduled);
                Ok(pending)
            })
        };
        match result {
            Ok(pending) => {
                pending.durable().await?;
            }
            Err(error) => {
                tracing::warn!(error = %error, "a lease could not be ended yet; trying again in a minute");
                self.queue.push([(token::after(now, 60), retry)]);
            }
        }
        Ok(Expired::Done)
    }
}

/// Requests that end tokens or leases and so must see all of them.
fn ends_things(request: &Request) -> bool {
    let path: &str = &request.path;
    path.starts_with("auth/token/revoke")
        || path.starts_with("sys/leases/revoke")
        || path.starts_with("sys/revoke")
        || request.op == Op::Delete && (path.starts_with("sys/mounts/") || path.starts_with("sys/auth/"))
}

fn evaluate(cx: &mut Cx<'_>, request: &Request, trail: &mut Trail) -> Result<Response> {
    let mounts = Mounts::load(&mut cx.txn)?;
    let found = mounts
        .find(&request.path)
        .map(|(mount, rest)| (Arc::clone(mount), rest));
    let public = match &found {
        Some((mount, rest)) => {
            cx.mount = Arc::clone(mount);
            engines::is_public(mount, rest, request.op)
        }
        None => false,
    };
    let refused = authorise(cx, request, found.as_ref().map(|(_, rest)| *rest), public);
    trail.request(cx, request, refused.as_ref().err())?;
    refused?;
    let Some((_, rest)) = found else {
        return Err(Error::NoRoute(format!(
            "no handler for route {:?}. route entry not found.",
            request.path.as_str()
        )));
    };
    let mut response = if cx.mount.kind == "system" {
        sys::handle(cx, request, rest)?
    } else {
        engines::handle(cx, request, rest)?
    };
    if let Some(lease) = response.lease.as_mut()
        && lease.internal.is_object()
    {
        lease.id = lease::register(cx, &request.path, lease)?;
    }
    if let Some(ttl) = request.wrap_ttl.filter(|ttl| *ttl > 0)
        && (response.data.is_some() || response.auth.is_some())
        && !(request.path.starts_with("sys/wrapping/")
            && !request.path.ends_with("/wrap")
            && !request.path.ends_with("/rewrap"))
    {
        // No token outlives what its mount gives.
        let wrap = wrapping::wrap(cx, request, &response, ttl.min(cx.mount.max_ttl()))?;
        response = Response {
            wrap: Some(wrap),
            warnings: response.warnings,
            ..Response::default()
        };
    }
    Ok(response)
}

/// Finds the token, counts its use, and asks the policies.
fn authorise(cx: &mut Cx<'_>, request: &Request, rest: Option<&str>, public: bool) -> Result<()> {
    if request.own {
        return Ok(());
    }
    if public {
        if let Some(id) = &request.token {
            // A token counts only where it is valid.
            cx.token = token::find(cx, id)?
                .filter(|holder| params::cidr_allows(&holder.token.cidrs, request.remote));
        }
        return Ok(());
    }
    let id = request.token.as_ref().ok_or(Error::Denied)?;
    let Some(mut holder) = token::find(cx, id)? else {
        // Clients tell an intercepted wrapping token from a denied request by this.
        return Err(if &*request.path == "sys/wrapping/unwrap" {
            Error::invalid("wrapping token is not valid or does not exist")
        } else {
            Error::Denied
        });
    };
    if !params::cidr_allows(&holder.token.cidrs, request.remote) {
        return Err(Error::Denied);
    }
    // The wrapping token is used up by unwrapping itself, which needs to find it alive.
    let unwrapping = &*request.path == "sys/wrapping/unwrap";
    if holder.token.num_uses > 0 && !holder.token.batch && !unwrapping {
        holder = use_once(cx, holder)?;
    }
    let acl = acl_of(cx, &holder)?;
    let create = request.op == Op::Write
        && match rest {
            Some(rest) => engines::exists(cx, rest)? == Some(false),
            None => false,
        };
    let ask = Ask {
        op: request.op,
        create,
        path: &request.path,
        data: &request.data,
        wrap_ttl: request.wrap_ttl,
    };
    let grant = acl.check(&ask);
    cx.sudo = grant.sudo;
    let rest = rest.unwrap_or_default();
    let needs_sudo = engines::needs_sudo(&cx.mount, rest, request.op);
    cx.token = Some(holder);
    if grant.allowed
        && (grant.sudo || !needs_sudo)
        && (!engines::folds(&cx.mount, rest) || acl.allows_folded(&ask))
    {
        Ok(())
    } else {
        Err(Error::Denied)
    }
}

/// Counts one use; the last one revokes the token, though this request may still go on.
fn use_once(cx: &mut Cx<'_>, mut holder: Holder) -> Result<Holder> {
    Arc::make_mut(&mut holder.token).num_uses -= 1;
    if holder.token.num_uses == 0 {
        token::revoke(cx, &holder.hash, false)?;
        // As in Vault: restricted still, to what asks after this, and not without a bound.
        Arc::make_mut(&mut holder.token).num_uses = -1;
    } else {
        token::save(&mut cx.txn, &holder.hash, &holder.token)?;
    }
    Ok(holder)
}

/// The rules a token is under.
pub(crate) fn acl_of(cx: &mut Cx<'_>, holder: &Holder) -> Result<Arc<Acl>> {
    if holder.token.is_root() {
        return Ok(Arc::new(Acl::root()));
    }
    let entity = super::identity::by_id(cx, &holder.token.entity_id)?;
    let mut names = Cow::Borrowed(&holder.token.policies);
    if let Some(entity) = &entity {
        if entity.disabled {
            return Err(Error::Denied);
        }
        let more = super::identity::policies_of(cx, entity)?;
        let all = names.to_mut();
        all.extend(more);
        all.sort();
        all.dedup();
    }
    let mut name = ["acl:", &holder.token.entity_id].concat();
    for policy in &*names {
        // With its length, so that no other names look the same in a row.
        let _ = write!(name, ":{}:{policy}", policy.len());
    }
    // All that the rules depend on: the policies, and for their templates the entity and its aliases.
    let keys = || {
        let mut keys: Vec<String> = names.iter().map(|name| policy_key(name)).collect();
        if let Some(entity) = &entity {
            keys.push(super::identity::key::<super::identity::Entity>(&entity.id));
            for id in &entity.aliases {
                keys.push(super::identity::key::<super::identity::Alias>(id));
            }
        }
        keys
    };
    cx.txn
        .derived(&name, keys, |txn| rules(txn, &names, entity.as_ref()))
}

fn policy_key(name: &str) -> String {
    ["sys/policy/", name].concat()
}

/// A policy's text, if it has templates, and its rules.
type Parsed = (Option<String>, Policy);

fn parsed(txn: &mut Txn<'_>, name: &str) -> Result<Option<Arc<Parsed>>> {
    if name == "response-wrapping" {
        return Ok(Policy::parse(super::policy::WRAPPING)
            .ok()
            .map(|policy| Arc::new((None, policy))));
    }
    txn.cached(policy_key(name), |bytes| {
        let text: String = serde_json::from_slice(bytes).ok()?;
        let plain = Policy::parse(&text).ok()?;
        Some((text.contains("{{").then_some(text), plain))
    })
}

/// The rules of some policies together, templates filled for an entity.
fn rules(txn: &mut Txn<'_>, names: &[String], entity: Option<&super::identity::Entity>) -> Result<Acl> {
    let mut aliases: Vec<super::identity::Alias> = Vec::new();
    for id in entity.iter().flat_map(|entity| &entity.aliases) {
        aliases.extend(super::identity::load(txn, id)?);
    }
    let mut policies: Vec<Policy> = Vec::with_capacity(names.len());
    for name in names {
        let Some(parsed) = parsed(txn, name)? else {
            continue;
        };
        policies.push(match &parsed.0 {
            None => parsed.1.clone(),
            Some(_) => super::identity::fill(&parsed.1, entity, &aliases),
        });
    }
    Ok(Acl::new(&policies))
}
