//! Questions a log in method must put to somebody else before it can answer. The core states the question, the HTTP
//! skin asks it, and the core is run again with the answer: so the core does no IO.

use serde_json::Value;

/// What must be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
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
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The question it belongs to.
    pub to: Question,
    /// HTTP status and JSON body, or why there is none.
    pub reply: Result<(u16, Value), String>,
}
