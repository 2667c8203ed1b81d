//! Notices of git servers: who may ring, and what the answer tells.

use crate::attacked::{Dir, Platform, Who, as_both, commit, run, until};
use crate::dashboard::{ask, board, give, status};
use std::process::Command;

const SECRET: &str = "s3cr3t-of-the-remote";

#[test]
fn who_rings_is_checked_and_told_nothing() {
    as_both(|who: Who| {
        let dir = Dir::new("webhooks");
        let path = dir.path().join("fleet");
        // Nothing listens there: the namespace is held, and the address is known.
        let environment = format!("config: http://robot:{SECRET}@127.0.0.1:9/team/config.git\n");
        commit(
            &path,
            &[("fleet.yaml", ""), ("environments/a.yaml", &environment)],
        );
        give(who, &path);
        let platform = Platform::start(who, &dir, path.to_str().unwrap(), &[]);
        let at = board(&platform);
        until("reading of git", || {
            let said = platform.herder(&["status", "--json"]);
            said.out.contains("config.git").then_some(())
        });
        let body = "{\"repository\": \"http://127.0.0.1:9/team/config.git\"}";
        let ring = |headers: &[(&str, &str)]| ask(&at, "POST", "/webhooks/git", headers, body);

        let anonymous = ring(&[]);
        assert!(
            !anonymous.contains(SECRET),
            "the answer holds a remote's password: {anonymous}"
        );
        assert_eq!(status(&anonymous), 401, "{anonymous}");
        assert!(anonymous.contains("herder webhook"), "{anonymous}");
        for wrong in [
            ("X-Hub-Signature-256", "sha256=00"),
            ("X-Hub-Signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("X-Gitea-Signature", ""),
            ("X-Gitlab-Token", "guess"),
            ("Authorization", "Bearer guess"),
        ] {
            assert_eq!(status(&ring(&[wrong])), 401, "{wrong:?}");
        }

        let setup = platform.herder(&["webhook", "--json"]);
        let setup: serde_json::Value =
            serde_json::from_str(&setup.out).unwrap_or_else(|_| panic!("{setup:?}"));
        let secret = setup["secret"].as_str().unwrap();
        assert_eq!(setup["url"], format!("http://{at}/webhooks/git"));
        let signed = |body: &str| {
            let said = run(
                Command::new("openssl").args(["dgst", "-sha256", "-hmac", secret, "-r"]),
                body,
            );
            said.out.split(' ').next().unwrap_or_default().to_owned()
        };
        let tag = signed(body);
        let github = ring(&[
            ("X-GitHub-Event", "push"),
            ("X-Hub-Signature-256", &format!("sha256={tag}")),
        ]);
        assert_eq!(status(&github), 200, "{github}");
        assert!(github.ends_with("{\"woken\":1}"), "more than a count: {github}");
        for (name, value) in [
            ("X-Gitlab-Token", secret.to_owned()),
            ("X-Forgejo-Signature", tag.clone()),
            ("X-Hub-Signature", format!("sha256={tag}")),
        ] {
            let answer = ring(&[(name, &value)]);
            assert_eq!(status(&answer), 200, "{name}: {answer}");
            assert!(
                !answer.contains(SECRET) && !answer.contains("127.0.0.1:9"),
                "{answer}"
            );
        }
        // The same notice again and again makes Herder look as often as an unknown one: every few seconds.
        let repeated: Vec<String> = (0..5)
            .map(|_| ring(&[("X-Hub-Signature-256", &format!("sha256={tag}"))]))
            .collect();
        assert!(
            repeated.iter().any(|answer| answer.contains("\"seen\":true")),
            "{repeated:?}"
        );
        // Signed for another body.
        let other = ask(
            &at,
            "POST",
            "/webhooks/git",
            &[("X-Hub-Signature-256", &format!("sha256={tag}"))],
            "{\"url\": \"x\"}",
        );
        assert_eq!(status(&other), 401, "{other}");
        let shown = format!("{:?}", platform.herder(&["audit", "export"]));
        assert!(!shown.contains(secret), "{shown}");
    });
}
