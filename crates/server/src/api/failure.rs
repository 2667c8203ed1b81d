//! The one shape of an error at the edge: a kind that decides the status, a stable code, a message, a hint.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// Why a request was not done.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// The request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// Who asks is known and may not.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Somebody else was faster, or the state does not allow it.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// What was asked for is there, and not well.
    pub(crate) fn not_healthy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "not-healthy", message)
    }

    /// Who asks is not known.
    pub(crate) fn unauthorised() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorised",
            "a valid token is needed",
        )
        .hint("send `Authorization: Bearer TOKEN`; endpoints.json names the file with the token")
    }

    /// Everybody who can be served is being served.
    pub(crate) fn no_room(refusal: herder_listen::Refusal) -> Self {
        let status = match refusal {
            herder_listen::Refusal::Peer => StatusCode::TOO_MANY_REQUESTS,
            herder_listen::Refusal::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, "busy", refusal.to_string())
    }

    /// A browser's session is not enough.
    pub(crate) fn token_only() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "token-only",
            "the platform API changes things for the token alone, not for a signed-in browser",
        )
        .hint("send `Authorization: Bearer TOKEN`, or use the board's own pages")
    }

    /// A page of somebody else's sent a browser.
    pub(crate) fn foreign() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign",
            "this request does not come from a page of the board",
        )
        .hint("open the board itself and do it there")
    }

    /// A name that is not ours.
    pub(crate) fn misdirected(authority: &str) -> Self {
        let shown: String = authority.chars().take(100).collect();
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            format!("the dashboard is not known by the name `{shown}`"),
        )
        .hint("open it by its address, or start it with `herder up FLEET --dashboard-url URL`, the address people use")
    }

    /// Nobody vouches for a notice.
    pub(crate) fn unsigned(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unsigned", message).hint(
            "give the forge the secret that `herder webhook` prints, with content type JSON; until then commits are \
             found by polling. `--allow-unsigned-webhooks` lets anybody make herder look, every few seconds at most",
        )
    }

    /// Another system said no, or nothing.
    pub(crate) fn upstream(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            "upstream",
            herder_base::chain(error).to_string(),
        )
    }

    /// What went wrong and what to do, for a page.
    pub(crate) fn for_people(&self) -> (&str, &str) {
        (&self.message, self.hint.as_deref().unwrap_or_default())
    }

    /// Whether only the state of things does not allow it.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code == "conflict"
    }

    /// Says what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure {
    fn shown(&self) -> serde_json::Value {
        json!({"code": self.code, "message": self.message, "hint": self.hint})
    }

    /// As the last line of an answer that has begun already.
    pub(crate) fn in_a_line(&self) -> serde_json::Value {
        json!({"status": self.status.as_u16(), "error": self.shown()})
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.shown() });
        let mut response = (self.status, Json(body)).into_response();
        // So that the guard can show browsers a page instead.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<herder_ledger::Error> for Failure {
    fn from(error: herder_ledger::Error) -> Self {
        tracing::error!(error = %herder_base::chain(&error), "the ledger failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ledger",
            herder_base::chain(&error).to_string(),
        )
    }
}

impl From<herder_git::Error> for Failure {
    fn from(error: herder_git::Error) -> Self {
        Self::upstream(&error)
    }
}
