//! The log in methods: which paths need no token, and the dispatch by kind.

pub(crate) mod approle;
pub(crate) mod cert;
pub(crate) mod github;
pub(crate) mod jwt;
pub(crate) mod kubernetes;
pub(crate) mod token;
pub(crate) mod userpass;

use crate::core::context::Cx;
use crate::core::request::{Op, Request, Response};
use crate::{Result, engines};

/// Whether a path needs no token.
pub(crate) fn is_public(kind: &str, path: &str, op: Op) -> bool {
    let write = op == Op::Write;
    let by_browser = matches!(kind, "jwt" | "oidc")
        && (write && path == "oidc/auth_url"
            || matches!(op, Op::Read | Op::Write) && path == "oidc/callback");
    by_browser || write && kind != "token" && (path == "login" || path.starts_with("login/"))
}

/// Whether a role or user is there, so that creating and updating can be told apart.
pub(crate) fn exists(cx: &mut Cx<'_>, path: &str) -> Option<bool> {
    let (kind, name) = path.split_once('/')?;
    let stored = match (cx.mount.kind.as_str(), kind) {
        ("token", _) | (_, "login") => return None,
        (_, "role" | "users" | "user" | "certs") if !name.contains('/') => format!("{kind}/{name}"),
        _ => return None,
    };
    Some(cx.exists(&stored))
}

/// Answers a request below `auth/`.
pub(crate) fn handle(cx: &mut Cx<'_>, request: &Request, path: &str) -> Result<Response> {
    match cx.mount.kind.as_str() {
        "token" => token::handle(cx, request, path),
        "kubernetes" => kubernetes::handle(cx, request, path),
        "approle" => approle::handle(cx, request, path),
        "userpass" => userpass::handle(cx, request, path),
        "jwt" | "oidc" => jwt::handle(cx, request, path),
        "cert" => cert::handle(cx, request, path),
        "github" => github::handle(cx, request, path),
        _ => Err(engines::unsupported_path()),
    }
}

/// Whether a text fits a pattern with any number of `*`.
pub(crate) fn wild(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    // Each part where it is found first leaves most for the others, so nothing is tried twice: the text is a stranger's.
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some((_, after)) = text.split_once(part) else {
            return false;
        };
        text = after;
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::wild;

    #[test]
    fn patterns_match_in_one_pass() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "a", false),
            ("ab*bc", "abc", false),
            ("*b*b*", "abb", true),
            ("*b*b*", "ab", false),
            ("a**c", "abc", true),
            ("*é*", "aéb", true),
            ("*a*b", "ab", true),
            ("*ab*ab", "ab", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(wild(pattern, text), fits, "{pattern} {text}");
        }
        let pattern = "*a".repeat(1000) + "b";
        assert!(!wild(&pattern, &"a".repeat(20_000)));
    }
}
