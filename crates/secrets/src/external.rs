//! Questions that must be put to somebody else before a request can be answered. The core states the question, the
//! server asks it, and the core is run again with the answer: so the core does no IO.

use serde_json::Value;
use std::fmt;
use zeroize::Zeroizing;

/// What must be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Another HTTP server.
    Http(HttpQuestion),
    /// A PostgreSQL server.
    Sql(SqlQuestion),
}

/// One HTTP request.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HttpQuestion {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Absolute `http://` or `https://` address.
    pub url: String,
    /// PEM certificates to trust instead of the usual ones.
    pub ca_pem: Option<String>,
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<String>,
    /// JSON body.
    pub body: Option<Value>,
    /// Instead of the two before: name and password of the client, and the fields of a form.
    pub form: Option<Form>,
}

/// See [`HttpQuestion::form`].
#[derive(Clone, PartialEq, Eq)]
pub struct Form {
    /// Sent as `Authorization: Basic`.
    pub client: (String, Zeroizing<String>),
    /// Encoded as in an address.
    pub fields: Zeroizing<String>,
}

impl fmt::Debug for HttpQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpQuestion")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Statements for a database, all or none of them unless they are to be [`Self::separate`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SqlQuestion {
    /// What it is for; the answer is found again by this.
    pub about: String,
    /// `postgresql://host:port/database`, without a name and password.
    pub url: String,
    /// Who connects.
    pub username: String,
    /// Their password.
    pub password: Zeroizing<String>,
    /// Passwords to try after a refused one: an earlier change of password may have succeeded unnoticed.
    pub others: Vec<Zeroizing<String>>,
    /// What to run, secrets filled in; none only connects.
    pub statements: Vec<Zeroizing<String>>,
    /// Each statement is committed by itself: what worked stays when a later one fails.
    pub separate: bool,
    /// A role without which there is nothing to do.
    pub only_if_role: Option<String>,
    /// What was made up for this question and must be the same when the request goes on.
    pub made: Made,
}

/// See [`SqlQuestion::made`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// A new user's name.
    pub username: String,
    /// A new password.
    pub password: Zeroizing<String>,
    /// When the user ends.
    pub until: jiff::Timestamp,
    /// The entry that undoes it all if the request does not come to its end.
    pub undo: Option<(String, String)>,
    /// Where the entries are whose user gets the password above.
    pub rotates: Option<Rotates>,
}

/// See [`Made::rotates`]: a static role's entry, the connection's whose administering user it is, or both.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rotates {
    /// Where the static role is stored.
    pub role: Option<String>,
    /// The static role as JSON, if it is not stored yet; else empty.
    pub fresh: Zeroizing<String>,
    /// Where the connection is stored.
    pub connection: Option<String>,
}

impl fmt::Debug for SqlQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlQuestion")
            .field("about", &self.about)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The question it belongs to.
    pub to: Question,
    /// HTTP status and JSON body, or why there is none. A database answers 200 and null.
    pub reply: Result<(u16, Value), String>,
}
