//! What vaultrs' tests call their common module, without containers: every test gets a server of its own, of the program
//! that HERDER_PROGRAM names, and what stands beside it is a thread or, for PostgreSQL, at HERDER_POSTGRES.

use aws_lc_rs::{rand::SystemRandom, rsa, signature};
use base64::{engine::general_purpose::URL_SAFE_NO_PAD, Engine as _};
use reqwest::Url;
use serde_json::{json, Value};
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};

pub const KUB_ACCOUNT_NAME: &str = "vault-auth";
pub const KUB_NAMESPACE: &str = "default";
pub const POSTGRES_USER: &str = "postgres";
pub const POSTGRES_PASSWORD: &str = "postgres";

pub struct TestBuilder {
    client: VaultClientSettingsBuilder,
    dir: tempfile::TempDir,
    args: Vec<String>,
    certificate: Option<PathBuf>,
    beside: Option<String>,
}

impl TestBuilder {
    fn with_args(args: &[&str]) -> Self {
        let (client, dir) = (VaultClientSettingsBuilder::default(), tempfile::tempdir().unwrap());
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { client, dir, args, certificate: None, beside: None }
    }

    pub fn new() -> Self {
        let mut builder = Self::with_args(&["-dev", "-dev-root-token-id=root", "-dev-no-store-token"]);
        builder.args.push("-dev-listen-address=127.0.0.1:0".to_owned());
        builder.client.token("root");
        builder
    }

    pub fn new_prod() -> Self {
        let mut builder = Self::with_args(&[]);
        let listener = json!({ "tcp": { "address": "127.0.0.1:0", "tls_disable": "true" } });
        let config = json!({ "listener": [listener], "storage": [{ "inmem": {} }], "disable_mlock": true });
        let file = builder.dir.path().join("server.json");
        std::fs::write(&file, config.to_string()).unwrap();
        builder.args.push(format!("-config={}", file.display()));
        builder
    }

    /// The client has a certificate that nobody else signed.
    pub fn new_tls() -> Self {
        let mut builder = Self::new();
        let dir = builder.dir.path();
        builder.args.extend(["-dev-tls".to_owned(), format!("-dev-tls-cert-dir={}", dir.display())]);
        let made = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
        let pem = made.cert.pem() + &made.signing_key.serialize_pem();
        builder.client.identity(Some(reqwest::Identity::from_pem(pem.as_bytes()).unwrap()));
        builder.client.ca_certs(vec![dir.join("vault-ca.pem").display().to_string()]);
        let file = dir.join("client.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        builder.certificate = Some(file);
        builder
    }

    pub fn with_postgres(mut self) -> Self {
        self.beside = Some(std::env::var("HERDER_POSTGRES").expect("there is no PostgreSQL"));
        self
    }

    /// Stands for the Kubernetes API.
    pub fn with_nginx(mut self) -> Self {
        let name = format!("system:serviceaccount:{KUB_NAMESPACE}:{KUB_ACCOUNT_NAME}");
        let user = json!({ "uid": "d77f89bc-9055-11e7-a068-0800276d99bf", "username": name });
        let status = json!({ "authenticated": true, "audiences": ["vaultrs-test"], "user": user });
        self.beside = Some(serve(move |_, _| Ok(json!({ "kind": "TokenReview", "status": status.clone() }))));
        self
    }

    pub fn with_oidc(mut self) -> Self {
        self.beside = Some(provider());
        self
    }

    /// Amazon is nowhere: its tests fail when they mount it.
    pub fn with_localstack(mut self, _services: impl IntoIterator<Item = &'static str>) -> Self {
        self.beside = Some("http://localhost:1".to_owned());
        self
    }

    pub fn ignore_openbao(self, _reason: &str) -> Self {
        self
    }

    pub async fn check<F: FnMut(Test) -> Fut, Fut: Future<Output = ()>>(mut self, mut test: F) {
        let mut command = Command::new(std::env::var_os("HERDER_PROGRAM").unwrap());
        command.args(["vault", "server"]).args(&self.args).stdout(Stdio::piped());
        let mut server = Server(command.spawn().unwrap());
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        self.client.address(address);
        let client = VaultClient::new(self.client.build().unwrap()).unwrap();
        let Self { dir, certificate, beside, .. } = self;
        test(Test { client, certificate, beside, _server: server, _dir: dir }).await;
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Test {
    client: VaultClient,
    certificate: Option<PathBuf>,
    beside: Option<String>,
    _server: Server,
    _dir: tempfile::TempDir,
}

impl Test {
    pub fn client(&self) -> &VaultClient {
        &self.client
    }
    pub fn client_mut(&mut self) -> &mut VaultClient {
        &mut self.client
    }
    pub fn ca_cert(&self) -> Option<&Path> {
        self.certificate.as_deref()
    }
    pub fn postgres_url(&self) -> Option<&str> {
        self.beside.as_deref()
    }
    pub fn nginx_url(&self) -> Option<&str> {
        self.beside.as_deref()
    }
    pub fn oidc_url(&self) -> Option<&str> {
        self.beside.as_deref()
    }
    pub fn localstack_url(&self) -> Option<&str> {
        self.beside.as_deref()
    }
}

/// Answers URL and body with JSON or the place to go on at, one request a connection, for as long as the process lives.
fn serve(answer: impl Fn(&Url, &str) -> Result<Value, String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = base.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let head: Vec<String> =
                reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
            let url = Url::parse(&format!("{own}{path}")).unwrap();
            let (status, body) = match answer(&url, &String::from_utf8_lossy(&body)) {
                Ok(value) => ("200 OK\r\nContent-Type: application/json".to_owned(), value.to_string()),
                Err(place) => (format!("302 Found\r\nLocation: {place}"), String::new()),
            };
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    base
}

/// An OpenID provider below /default that believes everybody; its code is the nonce that the token must have.
pub fn provider() -> String {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    // A key of 2048 bits always has its modulus here.
    let public = text(&signature::KeyPair::public_key(&key).as_ref()[9..265]);
    serve(move |url, body| {
        let issuer = format!("{}/default", url.origin().ascii_serialization());
        let field = |url: &Url, name| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        Ok(match url.path().rsplit('/').next().unwrap() {
            "openid-configuration" => json!({
                "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"), "token_endpoint": format!("{issuer}/token"),
                "authorization_endpoint": format!("{issuer}/authorize"),
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
            "jwks" => json!({ "keys": [{ "kty": "RSA", "kid": "k", "alg": "RS256", "n": public, "e": "AQAB" }] }),
            "authorize" => {
                let (to, nonce, state) = (field(url, "redirect_uri"), field(url, "nonce"), field(url, "state"));
                return Err(format!("{to}?code={nonce}&state={state}"));
            }
            _ => {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
                let nonce = field(&Url::parse(&format!("{issuer}?{body}")).unwrap(), "code");
                let head = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
                let claims = json!({ "iss": issuer, "aud": "test", "sub": "default", "nonce": nonce,
                    "iat": now, "exp": now + 600 });
                let signed = [head, claims].map(|part| text(part.to_string().as_bytes())).join(".");
                let mut mark = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut mark).unwrap();
                let token = format!("{signed}.{}", text(&mark));
                json!({ "access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": 600 })
            }
        })
    })
}
