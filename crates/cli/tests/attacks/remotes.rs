//! Repositories that name other repositories: what somebody with a config repository, or with the parameters of a job,
//! can make Herder fetch with its own rights.

use crate::attacked::{Dir, Platform, as_both, commit, run, until};
use crate::masking::{log, owned, start};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// A server that notes what it is asked. `/redirect` leads to `elsewhere`, everything else wants a password.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(elsewhere: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = vec![0; 8192];
                let count = stream.read(&mut request).unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                let answer = match elsewhere {
                    Some(to) if request.contains("/redirect") => {
                        format!(
                            "302 Found\r\nLocation: http://{to}/other.git/info/refs?service=git-upload-pack"
                        )
                    }
                    _ => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"".to_owned(),
                };
                noted.lock().unwrap().push(request);
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ";

fn base(name: &str) -> String {
    format!("{MAP}{name}\ndata:\n  a: b\n")
}

fn findings(platform: &Platform) -> String {
    platform.herder(&["status", "--json"]).out
}

#[test]
fn a_repository_chooses_only_among_what_the_fleet_allows() {
    as_both(|who| {
        let dir = Dir::new("remotes");
        let at = dir.path().display().to_string();
        let elsewhere = Server::start(None);
        let listed = Server::start(Some(elsewhere.address));
        let unlisted = Server::start(None);
        for name in ["private", "beside"] {
            let files = [
                ("base/kustomization.yaml", "resources: [map.yaml]\n"),
                ("base/map.yaml", &base(name)),
            ];
            commit(&dir.path().join(name), &files);
            owned(&dir.path().join(name), who);
            let closed = PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(dir.path().join(name), closed).unwrap();
        }
        let bases = [
            ("file", format!("file://{at}/private//base?ref=main")),
            ("beside", format!("file://{at}/beside//base?ref=main")),
            ("dots", format!("file://{at}/config/../private//base?ref=main")),
            (
                "http",
                format!("http://me:tok3n-value@{}/org/x.git//base", unlisted.address),
            ),
            ("ssh", "ssh://git@127.0.0.1:1/org/x.git//base".to_owned()),
            ("moved", format!("http://{}/redirect.git//base", listed.address)),
            (
                "secret",
                format!("http://me:tok3n-value@{}/closed.git//base", listed.address),
            ),
        ];
        let mut files: Vec<(String, String)> = bases
            .iter()
            .map(|(name, url)| {
                let text = format!("# a comment\nresources:\n- {url}\n");
                (format!("{name}/kustomization.yaml"), text)
            })
            .collect();
        files.push((
            "good/kustomization.yaml".to_owned(),
            "resources: [map.yaml]\n".to_owned(),
        ));
        files.push(("good/map.yaml".to_owned(), base("good")));
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (config, fleet) = (dir.path().join("config"), dir.path().join("fleet"));
        commit(&config, &files);
        let job = "parameters:\n- name: REPO\nsource: $REPO\nsteps: [\"ls -R\"]\n";
        // What the fleet names itself is allowed, and what lies beside it.
        let application = format!("source: http://{}/app.git\n", listed.address);
        let files = [
            ("fleet.yaml", "name: remotes\n"),
            ("applications/app.yaml", &application),
            ("environments/testing.yaml", "config: ../config\n"),
            ("jobs/look.yaml", job),
        ];
        commit(&fleet, &files);
        for repository in [&config, &fleet] {
            owned(repository, who);
        }
        let platform = Platform::start(who, &dir, fleet.to_str().unwrap(), &["--nodes", "1"]);
        let maps = || {
            let said = platform.kubectl(&["-n", "testing", "get", "configmaps", "-o", "name"], "");
            said.out
        };
        // One bad application holds up no other.
        until("the good application", || maps().contains("/good").then_some(()));
        let said = findings(&platform);
        for name in ["private", "beside"] {
            assert!(!maps().contains(&format!("/{name}")), "{name} was read: {said}");
        }
        for (what, words) in [
            (
                "file",
                "only the fleet repository may name a place on this machine".to_owned(),
            ),
            ("dots", "its path holds `.` or `..`".to_owned()),
            (
                "beside",
                format!("add `- file://{at}/beside` below `remotes.allow` in fleet.yaml"),
            ),
            (
                "http",
                format!(
                    "add `- http://{}/org/x.git` below `remotes.allow`",
                    unlisted.address
                ),
            ),
            (
                "ssh",
                "it is neither a remote that the fleet names nor beside one".to_owned(),
            ),
            ("moved", "redirects are not followed".to_owned()),
        ] {
            assert!(said.contains(&words), "{what}: {said}");
            assert!(
                said.contains(&format!("{what}/kustomization.yaml:3")),
                "{what}: {said}"
            );
        }
        assert_eq!(unlisted.asked(), Vec::<String>::new());
        assert_eq!(elsewhere.asked(), Vec::<String>::new());
        // Credentials go to their remote and into nobody's sight.
        let asked = listed.asked();
        let closed: Vec<_> = asked
            .iter()
            .filter(|request| request.contains("/closed.git"))
            .collect();
        assert!(
            closed
                .iter()
                .any(|request| request.contains("Authorization: Basic ")),
            "{asked:?}"
        );
        let others = asked.iter().filter(|request| !request.contains("/closed.git"));
        assert!(
            others.clone().count() > 0 && others.clone().all(|request| !request.contains("Authorization"))
        );
        let seen = std::fs::read_to_string(dir.path().join("platform.log")).unwrap();
        assert!(
            !said.contains("tok3n") && !seen.contains("tok3n"),
            "{said}\n{seen}"
        );
        // Neither do the parameters of a run lead out.
        start(&platform, "look", &[&format!("REPO=file://{at}/private")]);
        let log = log(&platform, "look");
        assert!(
            log.out.contains("only the fleet repository may name a place"),
            "{log:?}"
        );
        // What the message says to add is enough.
        let allow = format!("name: remotes\nremotes:\n  allow:\n  - file://{at}/beside\n");
        run(Command::new("chown").args(["-R", "0:0"]).arg(&fleet), "");
        commit(&fleet, &[("fleet.yaml", &allow)]);
        owned(&fleet, who);
        until("the base that is allowed now", || {
            maps().contains("/beside").then_some(())
        });
        assert!(!maps().contains("/private"));
    });
}
