//! The dashboard: what a page elsewhere, a neighbour on another port or somebody with an old link can do to who is
//! signed in.

use crate::attacked::{Dir, Platform, Who, as_both, commit, http, run};
use std::path::Path;
use std::process::Command;

/// Makes a repository one of whose Herder it is: git reads nobody else's.
pub(crate) fn give(who: Who, path: &Path) {
    if who == Who::User {
        let said = run(Command::new("chown").args(["-R", "65534:65534"]).arg(path), "");
        // An ordinary user who runs the tests owns it already.
        assert!(said.ok || said.err.contains("not permitted"), "{said:?}");
    }
}

/// A fleet of one namespace.
pub(crate) fn fleet(who: Who, dir: &Dir) -> String {
    let path = dir.path().join("fleet");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";
    commit(
        &path,
        &[
            ("fleet.yaml", "discover: namespaces/*\n"),
            ("namespaces/a/map.yaml", map),
        ],
    );
    give(who, &path);
    path.to_string_lossy().into_owned()
}

/// `host:port` of the dashboard.
pub(crate) fn board(platform: &Platform) -> String {
    let url = platform.endpoints["dashboard"]["url"].as_str().unwrap();
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

pub(crate) fn token(platform: &Platform) -> String {
    let file = platform.endpoints["dashboard"]["token_file"].as_str().unwrap();
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

/// One request; its answer.
pub(crate) fn ask(at: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("Host: {at}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    http(at, &format!("{text}\r\n{body}"))
}

pub(crate) fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no answer: {answer}"))
}

pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (own, value) = line.split_once(": ")?;
        own.eq_ignore_ascii_case(name).then_some(value)
    })
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Signs in from the board's own page with a token or a code.
pub(crate) fn sign_in(at: &str, secret: &str, next: &str) -> String {
    let own = format!("http://{at}");
    let body = format!("token={secret}&next={next}");
    ask(at, "POST", "/login", &[("Origin", &own), FORM], &body)
}

/// The cookie that an answer sets, as it is sent back.
pub(crate) fn cookie(answer: &str) -> String {
    let set = header(answer, "set-cookie").unwrap_or_else(|| panic!("no cookie: {answer}"));
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn a_browser_holds_no_token_and_does_only_what_our_pages_ask() {
    as_both(|who: Who| {
        let dir = Dir::new("dashboard");
        let platform = Platform::start(who, &dir, &fleet(who, &dir), &[]);
        let (at, token) = (board(&platform), token(&platform));
        sessions(&platform, &at, &token);
        elsewhere(&at, &token);
        links(&platform, &at);
        redirects(&at, &token);
        tries(&platform, &at);
    });
}

/// A neighbour on another port of the same host is sent the cookie: it must open little and not for long.
fn sessions(platform: &Platform, at: &str, token: &str) {
    let answer = sign_in(at, token, "/");
    assert_eq!(status(&answer), 303, "{answer}");
    let set = header(&answer, "set-cookie").unwrap();
    assert!(!set.contains(token), "the cookie is the platform's token: {set}");
    for part in ["HttpOnly", "SameSite=", "Path=/", "Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = cookie(&answer);
    let id = cookie.split_once('=').unwrap().1.to_owned();
    let get = |headers: &[(&str, &str)], path: &str| status(&ask(at, "GET", path, headers, ""));
    assert_eq!(get(&[("Cookie", &cookie)], "/"), 200);
    // It is no token, in whatever way it is shown.
    assert_eq!(
        get(&[("Authorization", &format!("Bearer {id}"))], "/api/v1/status"),
        401
    );
    assert_eq!(
        get(&[("Cookie", &format!("herder_token={token}"))], "/api/v1/status"),
        401
    );
    assert_eq!(get(&[("Cookie", &cookie)], "/api/v1/webhook"), 401);
    // Nor does it change anything through the API, whoever asks.
    let own = format!("http://{at}");
    let json = ("Content-Type", "application/json");
    let down = ask(
        at,
        "POST",
        "/api/v1/down",
        &[("Cookie", &cookie), ("Origin", &own), json],
        "{\"everything\": true}",
    );
    assert_eq!(status(&down), 403, "{down}");
    assert!(down.contains("for the token alone"), "{down}");
    // Signing out ends it there, not only in the browser.
    let out = ask(
        at,
        "POST",
        "/logout",
        &[("Cookie", &cookie), ("Origin", &own)],
        "",
    );
    assert_eq!(status(&out), 303, "{out}");
    assert_eq!(get(&[("Cookie", &cookie)], "/api/v1/status"), 401);
    // Another token ends all, at once.
    let other = self::cookie(&sign_in(at, token, "/"));
    assert_eq!(get(&[("Cookie", &other)], "/api/v1/status"), 200);
    let file = platform.endpoints["dashboard"]["token_file"].as_str().unwrap();
    replace(Path::new(file), "another token");
    assert_eq!(get(&[("Cookie", &other)], "/api/v1/status"), 401);
    assert_eq!(status(&sign_in(at, token, "/")), 403);
    replace(Path::new(file), token);
    assert_eq!(status(&sign_in(at, token, "/")), 303);
}

/// As people replace a file: a new one in its place.
fn replace(file: &Path, text: &str) {
    let staged = file.with_extension("new");
    std::fs::write(&staged, text).unwrap();
    let owner = std::fs::metadata(file).unwrap();
    std::os::unix::fs::chown(
        &staged,
        Some(std::os::unix::fs::MetadataExt::uid(&owner)),
        Some(std::os::unix::fs::MetadataExt::gid(&owner)),
    )
    .unwrap();
    std::fs::rename(&staged, file).unwrap();
}

/// Pages elsewhere, names that lead here, frames.
fn elsewhere(at: &str, token: &str) {
    let cookie = cookie(&sign_in(at, token, "/"));
    let (host, port) = at.rsplit_once(':').unwrap();
    let neighbour = format!("http://{host}:{}", port.parse::<u16>().unwrap() ^ 1);
    for (path, body) in [
        ("/runs/update-jobs", ""),
        ("/environments/a/up", ""),
        ("/logout", ""),
    ] {
        for from in [
            &[("Origin", neighbour.as_str())][..],
            &[("Origin", "null")],
            &[("Origin", "http://evil.example")],
            &[("Sec-Fetch-Site", "same-site")],
            &[],
        ] {
            let headers = [&[("Cookie", cookie.as_str()), FORM], from].concat();
            let answer = ask(at, "POST", path, &headers, body);
            assert_eq!(status(&answer), 403, "{path} from {from:?}: {answer}");
            assert!(
                answer.contains("does not come from a page of the board"),
                "{answer}"
            );
        }
    }
    // Nor can anybody be signed in by another page.
    let body = format!("token={token}");
    let planted = ask(
        at,
        "POST",
        "/login",
        &[("Origin", "http://evil.example"), FORM],
        &body,
    );
    assert_eq!(status(&planted), 403, "{planted}");
    assert!(header(&planted, "set-cookie").is_none());
    // A name of somebody else's that was made to lead here.
    for name in [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
    ] {
        for (path, headers) in [
            ("/", [("Cookie", cookie.clone())]),
            ("/api/v1/status", [("Authorization", format!("Bearer {token}"))]),
            ("/login", [("Accept", "text/html".to_owned())]),
        ] {
            let (field, value) = &headers[0];
            let answer = ask(at, "GET", path, &[("Host", name), (field, value)], "");
            assert_eq!(status(&answer), 421, "{name}{path}: {answer}");
            assert!(answer.contains("--dashboard-url"), "{answer}");
        }
    }
    let both = ask(
        at,
        "GET",
        "/",
        &[("Host", at), ("Host", "evil.example"), ("Cookie", &cookie)],
        "",
    );
    assert_eq!(status(&both), 400, "{both}");
    // Every answer, whatever it is.
    for path in [
        "/login",
        "/",
        "/nothing",
        "/assets/board.js",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/status",
    ] {
        let answer = ask(
            at,
            "GET",
            path,
            &[("Cookie", &cookie), ("Accept", "text/html")],
            "",
        );
        let policy = header(&answer, "content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
        assert_eq!(
            header(&answer, "x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert!(header(&answer, "referrer-policy").is_some(), "{path}");
    }
}

/// A link that was printed is good once.
fn links(platform: &Platform, at: &str) {
    let said = platform.herder(&["login"]);
    assert!(said.ok, "{said:?}");
    let link = said.out.trim();
    let (page, code) = link.split_once('#').unwrap_or_else(|| panic!("{link}"));
    assert_eq!(page, format!("http://{at}/login"));
    // Whoever only looks at the page uses nothing up: a chat's preview, say.
    assert_eq!(status(&ask(at, "GET", "/login", &[], "")), 200);
    assert_eq!(status(&sign_in(at, code, "/")), 303);
    let again = sign_in(at, code, "/");
    assert_eq!(status(&again), 403, "a link was good twice: {again}");
    assert!(
        again.contains("neither the token nor a code that still holds"),
        "{again}"
    );
    // No address signs in: addresses are written down everywhere.
    let by_address = ask(at, "GET", &format!("/login?token={}", token(platform)), &[], "");
    assert!(header(&by_address, "set-cookie").is_none(), "{by_address}");
}

/// Where people are sent after signing in.
fn redirects(at: &str, token: &str) {
    for (next, expected) in [
        ("/runs?x=1", "/runs?x=1"),
        ("//evil.example", "/"),
        ("/%5Cevil.example", "/"),
        ("/%09/evil.example", "/"),
        ("/%0A//evil.example", "/"),
        ("/%2509/evil.example", "/"),
        ("/..//evil.example", "/"),
        ("/runs/..//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/api/v1/status", "/"),
    ] {
        let answer = sign_in(at, token, &next.replace('?', "%3F").replace('=', "%3D"));
        assert_eq!(header(&answer, "location"), Some(expected), "{next}: {answer}");
    }
}

/// Guessing is slow, and costs nothing: no body is read for it.
fn tries(platform: &Platform, at: &str) {
    let last = (0..30)
        .map(|n| sign_in(at, &format!("guess{n}"), "/"))
        .find(|answer| status(answer) == 429);
    let last = last.unwrap_or_else(|| panic!("thirty guesses were looked at"));
    assert!(last.contains("Too many wrong tries"), "{last}");
    assert!(header(&last, "retry-after").is_some(), "{last}");
    // Who has the right one is not kept out by others' tries from the same address.
    assert_eq!(status(&sign_in(at, &token(platform), "/")), 303);
    // The command line is not shut out by it.
    assert!(platform.herder(&["status"]).ok);
    // Answered although the body never comes.
    let waiting = format!(
        "POST /api/v1/promote HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n"
    );
    assert_eq!(status(&http(at, &waiting)), 401);
    let waiting = waiting.replace("/api/v1/promote", "/login");
    assert_eq!(status(&http(at, &waiting)), 403);
}
