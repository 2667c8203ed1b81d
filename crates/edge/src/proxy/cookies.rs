//! Herder's own cookies: applications neither get them nor set them. Cookies ignore ports, so a browser that is signed
//! in to the dashboard sends its session to every application on the same host.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};

/// The names of Herder's cookies, without `__Host-` and `__Secure-`, which any of them may have.
const OURS: [&str; 2] = ["herder_session", "herder_token"];

fn is_ours(name: &[u8]) -> bool {
    let name = name.trim_ascii();
    // The prefixes are case-insensitive to browsers; so, to be sure, is the name.
    let bare = [&b"__host-"[..], b"__secure-"]
        .iter()
        .find(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
        .and_then(|prefix| name.get(prefix.len()..))
        .unwrap_or(name);
    OURS.iter().any(|own| bare.eq_ignore_ascii_case(own.as_bytes()))
}

fn name(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// Takes Herder's cookies out of a request.
pub(super) fn take_out(headers: &mut HeaderMap) {
    let any = headers.get_all(COOKIE).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b';')
            .any(|pair| is_ours(name(pair)))
    });
    if !any {
        return;
    }
    // One header: HTTP/1.1 has no other, and HTTP/2 lets a cookie's pairs be parted.
    let mut kept: Vec<u8> = Vec::new();
    for value in headers.get_all(COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            if is_ours(name(pair)) || pair.trim_ascii().is_empty() {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair.trim_ascii());
        }
    }
    headers.remove(COOKIE);
    if !kept.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&kept)
    {
        headers.insert(COOKIE, value);
    }
}

/// Takes cookies with Herder's names out of an application's answer.
pub(super) fn refuse(headers: &mut HeaderMap) {
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| {
            let pair = value
                .as_bytes()
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default();
            // A cookie without a name is sent as its value alone, which may look like one with a name.
            let nameless = name(pair).trim_ascii().is_empty();
            let shown = if nameless {
                pair.trim_ascii().strip_prefix(b"=").unwrap_or(pair)
            } else {
                pair
            };
            !is_ours(name(shown))
        })
        .cloned()
        .collect();
    if kept.len() == headers.get_all(SET_COOKIE).iter().count() {
        return;
    }
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(headers: &HeaderMap, name: http::HeaderName) -> Vec<&str> {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    #[test]
    fn ours_stay_with_us_and_others_pass() {
        for (sent, passed) in [
            (&["a=1; herder_session=x; b=2"][..], &["a=1; b=2"][..]),
            (&["herder_session=x"], &[]),
            (&["__Host-herder_session=x;a=1"], &["a=1"]),
            (&["a=1", "Herder_Session = x", "b=2"], &["a=1; b=2"]),
            (&["herder_token=x; a=\"q\""], &["a=\"q\""]),
            (&["a=1;b=2", "c"], &["a=1;b=2", "c"]),
            (&["herder_sessions=x"], &["herder_sessions=x"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(COOKIE, value.parse().unwrap());
            }
            take_out(&mut headers);
            assert_eq!(all(&headers, COOKIE), passed, "{sent:?}");
        }
        let mut headers = HeaderMap::new();
        for value in [
            "a=1; Path=/",
            "herder_session=evil; Path=/",
            "__Host-herder_session=; Max-Age=0",
            "__SECURE-HERDER_SESSION=x",
            "=herder_session=x",
            "b=herder_session=x",
        ] {
            headers.append(SET_COOKIE, value.parse().unwrap());
        }
        refuse(&mut headers);
        assert_eq!(all(&headers, SET_COOKIE), ["a=1; Path=/", "b=herder_session=x"]);
    }
}
