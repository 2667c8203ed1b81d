//! Why a command failed, in the one shape that people and programs get: a code, what happened, what to do.
//!
//! Owns the exit codes; `docs/exit-codes.md` lists them and `docs/errors.md` says more of every code. Prints nothing.

use serde_json::{Value, json};
use std::fmt;

/// What kind of failure it is; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// It was tried and did not work.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Herder understood and said no.
    Refused = 3,
    /// What was asked for is there and is not healthy.
    Unhealthy = 4,
    /// There is no Herder, or it does not answer.
    Unreachable = 5,
}

/// A failure with a code of its own.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) kind: Kind,
    /// Stable, for programs.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failing {
    pub(crate) fn new(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    /// Nobody answers.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, "unreachable", message)
    }

    /// The words are right, what they ask for is not.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, "usage", message)
    }

    /// There is no such thing, with the nearest that there is.
    pub(crate) fn unknown<'a>(
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let failing = Self::new(Kind::Refused, "not-found", message);
        match herder_base::suggest(name, known) {
            Some(near) => failing.hint(format!("did you mean `{near}`?")),
            None => failing,
        }
    }

    /// It is there and not as it should be.
    pub(crate) fn unhealthy(message: impl Into<String>) -> Self {
        Self::new(Kind::Unhealthy, "not-healthy", message)
    }

    /// What the platform answered instead of doing it.
    pub(crate) fn answered(status: http::StatusCode, body: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let code = text("/error/code").unwrap_or("failed");
        let kind = match code {
            "not-healthy" => Kind::Unhealthy,
            "busy" => Kind::Unreachable,
            _ if status.is_client_error() => Kind::Refused,
            _ => Kind::Failed,
        };
        let message = text("/error/message").map_or_else(
            || format!("{status}: {}", String::from_utf8_lossy(body).trim()),
            str::to_owned,
        );
        Self {
            kind,
            code: code.to_owned(),
            message,
            hint: text("/error/hint").map(str::to_owned),
        }
    }

    /// Says what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failing {}

/// The failure in an error, or a plain one made of it.
pub(crate) fn of(error: &anyhow::Error) -> Failing {
    let found = error.chain().find_map(|cause| cause.downcast_ref::<Failing>());
    let plain = Failing::new(Kind::Failed, "failed", "");
    Failing {
        message: format!("{error:#}"),
        ..found.cloned().unwrap_or(plain)
    }
}

impl Failing {
    /// As `--json` prints it.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message, "hint": self.hint, "exit": self.kind as u8}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_keeps_its_code_through_contexts() {
        let inner = Failing::unknown("no application `shp`", "shp", ["shop", "web"]);
        let error = Err::<(), _>(inner).context("status").unwrap_err();
        let found = of(&error);
        assert_eq!((found.kind, &*found.code), (Kind::Refused, "not-found"));
        assert_eq!(found.message, "status: no application `shp`");
        assert_eq!(found.hint.as_deref(), Some("did you mean `shop`?"));
        assert_eq!(of(&anyhow::anyhow!("x")).kind, Kind::Failed);
    }

    #[test]
    fn what_the_platform_answers_decides_the_exit_code() {
        let body = br#"{"error":{"code":"conflict","message":"no","hint":"yes"}}"#;
        let answered = |status: u16, body: &[u8]| {
            let failing = Failing::answered(http::StatusCode::from_u16(status).unwrap(), body);
            (failing.kind, failing.code, failing.hint)
        };
        let hint = Some("yes".to_owned());
        assert_eq!(answered(409, body), (Kind::Refused, "conflict".to_owned(), hint));
        let body = br#"{"error":{"code":"not-healthy","message":"no"}}"#;
        assert_eq!(answered(409, body).0, Kind::Unhealthy);
        assert_eq!(
            answered(502, b"<html>"),
            (Kind::Failed, "failed".to_owned(), None)
        );
        assert_eq!(
            answered(503, br#"{"error":{"code":"busy"}}"#).0,
            Kind::Unreachable
        );
    }
}
