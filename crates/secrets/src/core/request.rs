//! One request and one answer, independent of HTTP. Owns no rules.

use super::path::{CanonicalPath, NotCanonical};
use crate::external::Answer;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use zeroize::{Zeroize, Zeroizing};

/// What is to be done with the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// GET
    Read,
    /// LIST, or GET with `list=true`
    List,
    /// PUT and POST
    Write,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Op {
    /// The word audit lines use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// A request as the core sees it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Unique, in the answer and in the audit lines.
    pub id: String,
    /// What to do.
    pub op: Op,
    /// Below `/v1/`. Empty, and so nothing's, if it was refused.
    pub path: CanonicalPath,
    /// Set if the path is not canonical: such a request is recorded and goes nowhere.
    pub(crate) refused: Option<Box<NotCanonical>>,
    /// Body and query together.
    pub data: Map<String, Value>,
    /// The client's token.
    pub token: Option<Zeroizing<String>>,
    /// Seconds the answer is to be wrapped for.
    pub wrap_ttl: Option<i64>,
    /// The client's address.
    pub remote: Option<std::net::IpAddr>,
    /// DER of the client's certificate chain, leaf first, if the connection has one.
    pub peer: Vec<Vec<u8>>,
    /// What followed the path's question mark, for a client that is sent elsewhere.
    pub(crate) query: Option<String>,
    /// What was asked outside so far.
    pub answers: Vec<Answer>,
    /// The server's own, when something's time has come: needs no token. No client's request is.
    pub(crate) own: bool,
}

/// Overwrites every text of a request or an answer once it has been used.
pub(crate) fn wipe(data: &mut Map<String, Value>) {
    data.values_mut().for_each(wipe_value);
}

fn wipe_value(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe_value),
        Value::Object(map) => wipe(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Random bytes are drawn for so many ids at once.
const IDS: usize = 32;

thread_local! {
    /// Random bytes for the next ids of this thread, and how many of them are used.
    static DRAWN: RefCell<([u8; 16 * IDS], usize)> = const { RefCell::new(([0; 16 * IDS], IDS)) };
}

/// A random UUID. From the process's own generator: the system's would be a system call for every request.
fn request_id() -> String {
    let bytes = DRAWN.with_borrow_mut(|(drawn, used)| {
        if *used == IDS {
            aws_lc_rs::rand::fill(drawn).ok()?;
            *used = 0;
        }
        *used += 1;
        drawn.as_chunks::<16>().0.get(*used - 1).copied()
    });
    let uuid = bytes.map_or_else(uuid::Uuid::new_v4, |bytes| {
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    });
    uuid.hyphenated()
        .encode_lower(&mut uuid::Uuid::encode_buffer())
        .to_owned()
}

impl Request {
    /// A request without data. A path that is not canonical is answered with what is wrong with it.
    #[must_use]
    pub fn new(op: Op, path: impl Into<String>) -> Self {
        Self::to(op, CanonicalPath::new(op, path))
    }

    pub(crate) fn to(op: Op, path: Result<CanonicalPath, NotCanonical>) -> Self {
        let (path, refused) = match path {
            Ok(path) => (path, None),
            Err(refused) => (CanonicalPath::default(), Some(Box::new(refused))),
        };
        Self {
            id: request_id(),
            op,
            path,
            refused,
            data: Map::new(),
            token: None,
            wrap_ttl: None,
            remote: None,
            peer: Vec::new(),
            query: None,
            answers: Vec::new(),
            own: false,
        }
    }

    /// The path as it was asked for, to be recorded.
    pub(crate) fn asked(&self) -> &str {
        self.refused
            .as_ref()
            .map_or(self.path.as_str(), |refused| refused.path())
    }

    /// Adds a JSON object as data.
    #[must_use]
    pub fn with(mut self, data: Value) -> Self {
        if let Value::Object(map) = data {
            self.data = map;
        }
        self
    }

    /// Adds a token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(Zeroizing::new(token.to_owned()));
        self
    }
}

/// What a token was given, as clients see it.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// The token itself.
    pub client_token: Zeroizing<String>,
    /// Its accessor.
    pub accessor: String,
    /// All policies.
    pub policies: Vec<String>,
    /// Policies of the token itself.
    pub token_policies: Vec<String>,
    /// Policies of its entity and groups.
    pub identity_policies: Vec<String>,
    /// Facts about who logged in.
    pub metadata: BTreeMap<String, String>,
    /// Seconds.
    pub lease_duration: i64,
    /// Whether it may be renewed.
    pub renewable: bool,
    /// Entity, or empty.
    pub entity_id: String,
    /// `service` or `batch`.
    pub token_type: String,
    /// Whether it lives without a parent.
    pub orphan: bool,
    /// Uses left, zero for unlimited.
    pub num_uses: i64,
}

/// A lease to be registered with the answer.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Seconds.
    pub ttl: i64,
    /// The longest it may be renewed to, in seconds from issue; zero for the mount's.
    pub max_ttl: i64,
    /// Whether it may be renewed.
    pub renewable: bool,
    /// What the engine needs to revoke it.
    pub internal: Value,
    /// Set once registered.
    pub id: String,
}

/// A body that is not the JSON envelope.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Where a wrapped answer is.
#[derive(Debug, Clone)]
pub struct Wrap {
    /// The single-use token.
    pub token: Zeroizing<String>,
    /// Its accessor.
    pub accessor: String,
    /// Seconds.
    pub ttl: i64,
    /// RFC 3339.
    pub creation_time: String,
    /// The path of the wrapped request.
    pub creation_path: String,
    /// The wrapped token's accessor, if a token is inside.
    pub wrapped_accessor: String,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The `data` object.
    pub data: Option<Map<String, Value>>,
    /// The `auth` object.
    pub auth: Option<Auth>,
    /// The lease.
    pub lease: Option<Lease>,
    /// Set when the answer was wrapped.
    pub wrap: Option<Wrap>,
    /// Shown to people.
    pub warnings: Vec<String>,
    /// A body without the envelope.
    pub raw: Option<Raw>,
    /// JSON without the envelope.
    pub bare: Option<Value>,
    /// Another status than 200 or 204.
    pub status: Option<u16>,
}

impl Response {
    /// Nothing to say: 204.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A `data` object; anything else than an object is wrapped as `{"value": …}`.
    #[must_use]
    pub fn data(value: Value) -> Self {
        let map = match value {
            Value::Object(map) => map,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self {
            data: Some(map),
            ..Self::default()
        }
    }

    /// A list of keys, or "not found" when there are none.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] if the list is empty.
    pub fn keys(keys: Vec<String>) -> crate::Result<Self> {
        if keys.is_empty() {
            return Err(crate::Error::NotFound);
        }
        Ok(Self::data(serde_json::json!({ "keys": keys })))
    }

    /// JSON without the envelope.
    #[must_use]
    pub fn bare(value: Value) -> Self {
        Self {
            bare: Some(value),
            ..Self::default()
        }
    }

    /// Other bytes.
    #[must_use]
    pub fn raw(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(Raw {
                content_type,
                body: body.into(),
            }),
            ..Self::default()
        }
    }

    /// Adds a warning.
    #[must_use]
    pub fn warn(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }
}
