//! Pulls and pushes, judged by Debian's docker-registry with TLS and htpasswd, and by skopeo.

use super::{has, ran, skopeo};
use herder_images::{Build, Client, Copy, Credentials, Keep, Reference, Registries, Store, build};
use jiff::Timestamp;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Registry {
    child: Child,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Registry {
    fn start(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ];
        let name = [
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ];
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509"]).args(key).args(name);
        // Whoever is believed as an authority may not be a server as well.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        ran(openssl
            .arg("-keyout")
            .arg(dir.join("key.pem"))
            .arg("-out")
            .arg(dir.join("ca.pem")));
        let hashed = ran(Command::new("htpasswd").args(["-Bbn", "me", "word"]));
        std::fs::write(dir.join("htpasswd"), hashed).unwrap();
        let at = dir.display();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {at}/data}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: x\n  tls: {{certificate: {at}/ca.pem, key: {at}/key.pem}}\n\
             auth:\n  htpasswd: {{realm: here, path: {at}/htpasswd}}\n"
        );
        std::fs::write(dir.join("config.yml"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(dir.join("config.yml"));
        let child = serve.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let registry = Self { child, port };
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        registry
    }

    fn name(&self, rest: &str) -> Reference {
        format!("localhost:{}/{rest}", self.port).parse().unwrap()
    }
}

#[tokio::test]
async fn docker_registry_and_skopeo_agree() {
    if !(has("docker-registry") & has("skopeo") & has("openssl") & has("htpasswd")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let registry = Registry::start(at);
    let yaml = at.join("registries.yaml");
    let host = format!("localhost:{}", registry.port);
    let config = format!(
        "mirrors:\n  reg.example:\n    endpoint:\n    - https://localhost:1\n    - https://{host}\n    rewrite:\n      \"^team/(.*)\": \"$1\"\n\
         configs:\n  {host}:\n    tls:\n      ca_file: {}\n",
        at.join("ca.pem").display()
    );
    std::fs::write(&yaml, config).unwrap();
    let client = Client::new(Registries::read(&yaml).unwrap());
    let mut me = Credentials::default();
    me.add(&host, "me", "word");

    // Pushed by us: three layers, one of some size.
    let mine = Store::open(at.join("mine")).unwrap();
    let random = (0..500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    let large: Vec<u8> = random.collect();
    let mut what = Build::default();
    for (name, bytes) in [("a", b"one".as_slice()), ("b", b"two"), ("large", &large)] {
        std::fs::write(at.join(name), bytes).unwrap();
        what.copies.push(Copy {
            source: at.join(name),
            target: format!("/{name}").into(),
        });
    }
    what.entrypoint = Some(vec!["/a".to_owned()]);
    let shop: Reference = "shop:1".parse().unwrap();
    let built = build(&mine, &what, &shop, Timestamp::UNIX_EPOCH).unwrap();
    let there = registry.name("shop:1");
    let nobody = Credentials::default();
    let refused = client.push(&mine, &shop, &there, &nobody).await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    client.push(&mine, &shop, &there, &me).await.unwrap();
    client.push(&mine, &shop, &there, &me).await.unwrap();

    // skopeo reads it, and writes it as schema 2 by another name.
    let (from, to) = (
        format!("docker://{there}"),
        format!("docker://{}", registry.name("again:2")),
    );
    let tls = [
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds=me:word",
        "--dest-creds=me:word",
    ];
    skopeo(
        &[&["copy", "--format=v2s2"], &tls[..], &[&from, &to]].concat(),
        at,
    );

    // Pulled by us, by tag, digest, schema 2, and through a mirror that stands behind one that is not there.
    let theirs = Store::open(at.join("theirs")).unwrap();
    let pull = async |name: &Reference, who: &Credentials| {
        client.pull(&theirs, name, who, Timestamp::UNIX_EPOCH).await
    };
    let refused = pull(&there, &nobody).await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    let mut wrong = Credentials::default();
    wrong.add(&host, "me", "mistyped");
    let refused = pull(&there, &wrong).await.unwrap_err().to_string();
    assert!(
        refused.contains("401") && !refused.contains("mistyped"),
        "{refused}"
    );
    let absent = pull(&registry.name("absent:1"), &me)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        absent.contains("404") && absent.contains("manifest unknown"),
        "{absent}"
    );
    // Two at once: one of them fetches what the other waits for.
    let (one, two) = tokio::join!(pull(&there, &me), pull(&there, &me));
    assert_eq!(one.unwrap().manifest, built.digest);
    assert_eq!(two.unwrap().manifest, built.digest);
    assert_eq!(theirs.take_up(&there).unwrap().file("b").unwrap(), b"two");
    let pinned = registry.name("shop:1").at(&built.digest);
    assert_eq!(pull(&pinned, &me).await.unwrap().manifest, built.digest);
    let again = pull(&registry.name("again:2"), &me).await.unwrap();
    assert_ne!(again.manifest, built.digest);
    let mirrored: Reference = "reg.example/team/shop:1".parse().unwrap();
    assert_eq!(pull(&mirrored, &me).await.unwrap().manifest, built.digest);
    assert!(theirs.verify().unwrap().is_empty());

    // What broke off is continued from where it was, and the whole is checked.
    for name in theirs.names().unwrap() {
        theirs.forget(&name.name.parse().unwrap()).unwrap();
    }
    theirs.prune(&Keep::default()).unwrap();
    let (manifest, _) = mine.describe(&built.digest).unwrap();
    let layer = manifest.layers.last().unwrap();
    let whole = std::fs::read(at.join("mine/blobs/sha256").join(layer.digest.hex())).unwrap();
    let mut part = theirs.continue_blob(layer).unwrap().unwrap();
    part.add(&whole[..100_000]).unwrap();
    drop(part);
    pull(&there, &me).await.unwrap();
    assert!(theirs.verify().unwrap().is_empty());

    // A registry that gives other bytes: nothing gets a name.
    let hex = layer.digest.hex();
    let blobs = at.join("data/docker/registry/v2/blobs/sha256");
    let mut bad = whole;
    bad[50_000] ^= 1;
    std::fs::write(blobs.join(&hex[..2]).join(hex).join("data"), bad).unwrap();
    let fresh = Store::open(at.join("fresh")).unwrap();
    let torn = client
        .pull(&fresh, &there, &me, Timestamp::UNIX_EPOCH)
        .await
        .unwrap_err();
    let text = herder_base::chain(&torn).to_string();
    assert!(text.contains("damaged"), "{text}");
    assert!(fresh.names().unwrap().is_empty() && !fresh.has(&layer.digest));
}
