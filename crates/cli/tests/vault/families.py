"""Drives the secrets server through every family of its API with hvac, the Python client people use.

`families.py ADDRESS ROOT_TOKEN CONFIG_ADDRESS [TABLE]`: the first server is open, the second one is new and sealed.
Every call is recorded; TABLE gets one line per endpoint. Ends with a failure at the first wrong answer.
"""

import base64
import http.server
import json
import re
import sys
import threading

import hvac
from hvac import exceptions

ADDRESS, ROOT, FRESH = sys.argv[1:4]
SEEN = {}


class Recorder(hvac.adapters.JSONAdapter):
    """Notes method, path and status of every call, with made-up names taken out."""

    def request(self, method, url, *args, **kwargs):
        path = re.sub(r"^.*?/?v1/", "", re.sub(r"[?].*", "", url))
        path = re.sub(r"^(auth/)?j-(userpass|approle|kubernetes|github|jwt|pki|transit|database)(?=/)", r"\1\2", path)
        path = re.sub(r"^j-sub(?=/)", "pki", path)
        path = re.sub(r"^j-(kv1|mount|moved)(?=/)", "kv1", path)
        for part in ("hvs[.][^/]+", "[0-9a-f]{8}-[0-9a-f-]{27}", "[0-9a-f]{2}((:|%3A)[0-9a-f]{2}){5,}", "[A-Za-z0-9]{24}$",
                     "(?<=/issuer/)main"):
            path = re.sub(part, "{id}", path)
        path = re.sub(r"(?<=/)(j-[a-z0-9-]+|default|ann|dev|(?<=random/)16|shop)(?=/|$)", "{name}", path)
        path = re.sub(r"(?<=/)(\{name\}/)+\{name\}$", "{name}", path) if path.startswith("secret/") else path
        try:
            answer = super().request(method, url, *args, **kwargs)
            SEEN.setdefault((path, method.upper()), set()).add("ok")
            return answer
        except exceptions.VaultError as error:
            SEEN.setdefault((path, method.upper()), set()).add(type(error).__name__)
            raise


def client(token=ROOT, address=ADDRESS):
    return hvac.Client(url=address, token=token, adapter=Recorder)


def refused(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"{call.__name__} was not refused with {kind.__name__}")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def seal():
    c = client(None, FRESH)
    assert not c.sys.is_initialized() and c.sys.is_sealed()
    assert c.sys.read_health_status(method="GET").status_code == 501
    keys = c.sys.initialize(5, 3)
    for number, key in enumerate(keys["keys"][:3]):
        assert c.sys.is_sealed()
        status = c.sys.submit_unseal_key(key)
        assert status["progress"] == (number + 1) % 3 and status["t"] == 3 and status["n"] == 5
    c.token = keys["root_token"]
    assert c.sys.read_health_status(method="GET")["sealed"] is False
    assert c.sys.read_leader_status()["ha_enabled"] is False
    assert re.match(r"\d+[.]\d+[.]\d+$", c.sys.read_seal_status()["version"])
    before = c.sys.get_encryption_key_status()["data"]["term"]
    c.sys.rotate_encryption_key()
    assert c.sys.get_encryption_key_status()["data"]["term"] == before + 1
    # The unseal key is replaced by its holders; the old shares are worth nothing then.
    nonce = c.sys.start_rekey(secret_shares=2, secret_threshold=2)["nonce"]
    assert c.sys.read_rekey_progress()["started"]
    c.sys.cancel_rekey()
    nonce = c.sys.start_rekey(secret_shares=2, secret_threshold=2)["nonce"]
    new = c.sys.rekey_multi(keys["keys"][:3], nonce=nonce)["keys"]
    c.sys.seal()
    assert c.sys.is_sealed()
    refused(exceptions.VaultDown, c.sys.list_mounted_secrets_engines)
    refused(exceptions.VaultError, c.sys.submit_unseal_keys, keys["keys"][:3])
    c.sys.submit_unseal_key(reset=True)
    c.sys.submit_unseal_keys(new)
    assert not c.sys.is_sealed()
    otp = c.adapter.get("/v1/sys/generate-root/attempt")["otp_length"] * "a"
    nonce = c.sys.start_root_token_generation(otp=otp)["nonce"]
    assert c.sys.read_root_generation_progress()["started"]
    for key in new:
        answer = c.sys.generate_root(key, nonce)
    raw = answer["encoded_root_token"]
    token = bytes(a ^ b for a, b in zip(base64.b64decode(raw + "=="), otp.encode())).decode()
    assert "root" in client(token, FRESH).auth.token.lookup_self()["data"]["policies"]


def mounts():
    c = client()
    c.sys.enable_secrets_engine("kv", path="j-mount", description="a", options={"version": "1"})
    assert c.sys.list_mounted_secrets_engines()["data"]["j-mount/"]["type"] == "kv"
    c.sys.tune_mount_configuration("j-mount", default_lease_ttl="1h", max_lease_ttl="2h")
    assert c.sys.read_mount_configuration("j-mount")["data"]["max_lease_ttl"] == 7200
    c.write_data("j-mount/j-a", data={"x": "1"})
    c.sys.move_backend("j-mount", "j-moved")
    assert c.read("j-moved/j-a")["data"]["x"] == "1"
    assert c.adapter.get("/v1/sys/internal/ui/mounts/j-moved")["data"]["options"]["version"] == "1"
    assert "secret/" in c.adapter.get("/v1/sys/internal/ui/mounts")["data"]["secret"]
    c.sys.disable_secrets_engine("j-moved")
    c.sys.enable_auth_method("userpass", path="j-userpass")
    c.sys.tune_auth_method("j-userpass", default_lease_ttl="600s", description="people")
    assert c.sys.read_auth_method_tuning("j-userpass")["data"]["default_lease_ttl"] == 600
    assert "j-userpass/" in c.sys.list_auth_methods()["data"]
    assert refused(exceptions.InvalidRequest, c.sys.enable_secrets_engine, "nosuch")


def policies():
    c = client()
    rules = 'path "secret/data/j-a/*" { capabilities = ["read", "list"] }'
    c.sys.create_or_update_policy("j-policy", rules)
    assert c.sys.read_policy("j-policy")["data"]["rules"] == rules
    assert "j-policy" in c.sys.list_policies()["data"]["policies"]
    c.sys.create_or_update_acl_policy("j-policy", rules)
    assert c.sys.read_acl_policy("j-policy")["data"]["policy"] == rules
    assert "j-policy" in c.sys.list_acl_policies()["data"]["keys"]
    token = c.auth.token.create(policies=["j-policy"])["auth"]
    mine = client(token["client_token"])
    assert mine.sys.get_capabilities(["secret/data/j-a/b"])["data"]["secret/data/j-a/b"] == ["list", "read"]
    assert c.sys.get_capabilities(["sys/mounts"], token=token["client_token"])["data"]["capabilities"] == ["deny"]
    assert c.sys.get_capabilities(["sys/mounts"], accessor=token["accessor"])["data"]["capabilities"] == ["deny"]
    refused(exceptions.Forbidden, mine.sys.list_mounted_secrets_engines)
    refused(exceptions.Forbidden, mine.secrets.kv.v2.create_or_update_secret, "j-a/b", {"a": "b"})
    refused(exceptions.InvalidRequest, c.sys.create_or_update_policy, "j-wrong", 'path "a" { capabilities = ["fly"] }')
    c.sys.delete_acl_policy("j-policy")
    c.sys.delete_policy("j-policy")


def tokens():
    c = client()
    parent = c.auth.token.create(policies=["root"], ttl="1h", meta={"who": "judge"}, display_name="judge")["auth"]
    p = client(parent["client_token"])
    assert p.auth.token.lookup_self()["data"]["meta"] == {"who": "judge"}
    child = p.auth.token.create(policies=["default"], ttl="10m", num_uses=3)["auth"]
    orphan = p.auth.token.create_orphan(policies=["default"])["auth"]
    periodic = c.auth.token.create(policies=["default"], period="1h")["auth"]
    batch = c.auth.token.create(policies=["default"], type="batch", ttl="5m")["auth"]
    assert batch["token_type"] == "batch" and periodic["lease_duration"] == 3600
    assert c.auth.token.lookup(batch["client_token"])["data"]["type"] == "batch"
    assert c.auth.token.renew(periodic["client_token"], increment="1m")["auth"]["lease_duration"] == 3600
    assert c.auth.token.lookup_accessor(child["accessor"])["data"]["num_uses"] == 3
    assert c.auth.token.renew_accessor(periodic["accessor"])["auth"]["renewable"]
    assert p.auth.token.renew_self()["auth"]["client_token"] == parent["client_token"]
    assert parent["accessor"] in c.auth.token.list_accessors()["data"]["keys"]
    p.auth.token.revoke_self()
    refused(exceptions.Forbidden, c.auth.token.lookup, child["client_token"])
    assert c.auth.token.lookup(orphan["client_token"])["data"]["orphan"]
    c.auth.token.revoke_accessor(orphan["accessor"])
    c.auth.token.revoke(periodic["client_token"])
    c.auth.token.create_or_update_role("j-role", allowed_policies=["default"], orphan=True, renewable=False)
    assert c.auth.token.read_role("j-role")["data"]["orphan"] and "j-role" in c.auth.token.list_roles()["data"]["keys"]
    made = c.auth.token.create(role_name="j-role", policies=["default"])["auth"]
    assert made["orphan"]
    refused(exceptions.InvalidRequest, c.auth.token.create, role_name="j-role", policies=["other"])
    c.auth.token.revoke_and_orphan_children(made["client_token"])
    c.auth.token.tidy()
    c.auth.token.delete_role("j-role")


def key_value():
    c = client()
    c.sys.enable_secrets_engine("kv", path="j-kv1", options={"version": "1"})
    one = c.secrets.kv.v1
    one.create_or_update_secret("j-a", {"x": 1, "y": ["z"]}, mount_point="j-kv1")
    assert one.read_secret("j-a", mount_point="j-kv1")["data"] == {"x": 1, "y": ["z"]}
    assert one.list_secrets("", mount_point="j-kv1")["data"]["keys"] == ["j-a"]
    one.delete_secret("j-a", mount_point="j-kv1")
    refused(exceptions.InvalidPath, one.read_secret, "j-a", mount_point="j-kv1")
    two = c.secrets.kv.v2
    two.configure(max_versions=5, cas_required=False)
    assert two.read_configuration()["data"]["max_versions"] == 5
    two.create_or_update_secret("j-s/j-a", {"x": "1"}, cas=0)
    refused(exceptions.InvalidRequest, two.create_or_update_secret, "j-s/j-a", {"x": "2"}, cas=0)
    two.patch("j-s/j-a", {"y": "2"})
    latest = two.read_secret_version("j-s/j-a", raise_on_deleted_version=True)["data"]
    assert latest["data"] == {"x": "1", "y": "2"} and latest["metadata"]["version"] == 2
    assert two.read_secret_version("j-s/j-a", version=1, raise_on_deleted_version=True)["data"]["data"] == {"x": "1"}
    assert c.adapter.get("/v1/secret/subkeys/j-s/j-a")["data"]["subkeys"] == {"x": None, "y": None}
    two.update_metadata("j-s/j-a", max_versions=3, custom_metadata={"owner": "team"})
    assert two.read_secret_metadata("j-s/j-a")["data"]["custom_metadata"] == {"owner": "team"}
    assert two.list_secrets("j-s")["data"]["keys"] == ["j-a"]
    two.delete_latest_version_of_secret("j-s/j-a")
    gone = refused(exceptions.InvalidPath, two.read_secret_version, "j-s/j-a", raise_on_deleted_version=True)
    assert gone.json["data"]["metadata"]["deletion_time"]
    two.undelete_secret_versions("j-s/j-a", [2])
    two.delete_secret_versions("j-s/j-a", [1])
    two.destroy_secret_versions("j-s/j-a", [1])
    assert two.read_secret_metadata("j-s/j-a")["data"]["versions"]["1"]["destroyed"]
    two.delete_metadata_and_all_versions("j-s/j-a")
    refused(exceptions.InvalidPath, two.list_secrets, "j-s")
    c.write_data("cubbyhole/j-a", data={"x": "1"})
    assert c.read("cubbyhole/j-a")["data"] == {"x": "1"} and c.list("cubbyhole")["data"]["keys"] == ["j-a"]
    assert client(c.auth.token.create()["auth"]["client_token"]).read("cubbyhole/j-a") is None
    c.delete("cubbyhole/j-a")


def wrapping():
    c = client()
    c.secrets.kv.v2.create_or_update_secret("j-wrap", {"x": "1"})
    wrapped = c.read("secret/data/j-wrap", wrap_ttl="60s")["wrap_info"]
    assert wrapped["creation_path"] == "secret/data/j-wrap" and wrapped["ttl"] == 60
    looked = c.adapter.post("/v1/sys/wrapping/lookup", json={"token": wrapped["token"]})
    assert looked["data"]["creation_ttl"] == 60
    again = c.adapter.post("/v1/sys/wrapping/rewrap", json={"token": wrapped["token"]})["wrap_info"]
    assert c.sys.unwrap(again["token"])["data"]["data"] == {"x": "1"}
    refused(exceptions.VaultError, c.sys.unwrap, again["token"])
    own = c.sys.wrap({"a": "b"}, ttl=60)["wrap_info"]["token"]
    assert client(own).sys.unwrap()["data"] == {"a": "b"}


def leases_and_audit(directory):
    c = client()
    c.sys.enable_audit_device("file", path="j-file", options={"file_path": directory + "/audit.log"})
    assert "j-file/" in c.sys.list_enabled_audit_devices()["data"]
    hashed = c.sys.calculate_hash("j-file", "plant-me-nowhere")["data"]["hash"]
    c.secrets.kv.v2.create_or_update_secret("j-audited", {"x": "plant-me-nowhere"})
    text = open(directory + "/audit.log", encoding="utf-8").read()
    assert hashed in text and "plant-me-nowhere" not in text and ROOT not in text
    c.sys.disable_audit_device("j-file")
    c.secrets.pki.create_or_update_role("j-leased", {"allow_any_name": True, "key_type": "ec", "key_bits": 256,
                                        "generate_lease": True, "max_ttl": "1h"}, mount_point="j-pki")
    lease = c.secrets.pki.generate_certificate("j-leased", "a.example.org", mount_point="j-pki")["lease_id"]
    assert lease.startswith("j-pki/issue/j-leased/")
    assert c.sys.read_lease(lease)["data"]["ttl"] > 0
    assert c.sys.list_leases("j-pki/issue/j-leased")["data"]["keys"]
    refused(exceptions.InvalidRequest, c.sys.renew_lease, lease)
    c.sys.revoke_lease(lease)
    refused(exceptions.InvalidRequest, c.sys.read_lease, lease)
    c.sys.revoke_prefix("j-pki/issue/j-leased")
    c.sys.revoke_force("j-pki/issue/j-leased")
    assert c.adapter.get("/v1/sys/leases/count")["data"]["lease_count"] >= 0
    c.adapter.post("/v1/sys/leases/tidy")


def approle():
    c = client()
    c.sys.enable_auth_method("approle", path="j-approle")
    a, at = c.auth.approle, {"mount_point": "j-approle"}

    def login(role, secret):
        return a.login(role, secret, use_token=False, **at)

    a.create_or_update_approle("j-app", token_policies=["default"], secret_id_num_uses=2, token_ttl="5m", **at)
    assert "j-app" in a.list_roles(**at)["data"]["keys"]
    assert a.read_role("j-app", **at)["data"]["secret_id_num_uses"] == 2
    role = a.read_role_id("j-app", **at)["data"]["role_id"]
    secret = a.generate_secret_id("j-app", metadata={"k": "v"}, **at)["data"]
    assert login(role, secret["secret_id"])["auth"]["lease_duration"] == 300
    assert a.read_secret_id("j-app", secret["secret_id"], **at)["data"]["metadata"] == {"k": "v"}
    assert a.list_secret_id_accessors("j-app", **at)["data"]["keys"] == [secret["secret_id_accessor"]]
    assert a.read_secret_id_accessor("j-app", secret["secret_id_accessor"], **at)["data"]["secret_id_num_uses"] == 1
    login(role, secret["secret_id"])
    refused(exceptions.InvalidRequest, login, role, secret["secret_id"])
    refused(exceptions.InvalidRequest, login, role, "wrong")
    a.create_custom_secret_id("j-app", "mine", **at)
    login(role, "mine")
    a.destroy_secret_id("j-app", "mine", **at)
    secret = a.generate_secret_id("j-app", **at)["data"]
    a.destroy_secret_id_accessor("j-app", secret["secret_id_accessor"], **at)
    a.update_role_id("j-app", "chosen", **at)
    assert a.read_role_id("j-app", **at)["data"]["role_id"] == "chosen"
    a.delete_role("j-app", **at)


def people():
    c = client()
    u, at = c.auth.userpass, {"mount_point": "j-userpass"}
    u.create_or_update_user("j-ann", "right", policies="default", **at)
    assert u.list_user(**at)["data"]["keys"] == ["j-ann"] and u.read_user("j-ann", **at)["data"]
    assert client(None).auth.userpass.login("j-ann", "right", **at)["auth"]["metadata"]["username"] == "j-ann"
    refused(exceptions.InvalidRequest, client(None).auth.userpass.login, "j-ann", "wrong", **at)
    u.update_password_on_user("j-ann", "newer", **at)
    client(None).auth.userpass.login("j-ann", "newer", **at)
    for _ in range(4):
        refused(exceptions.VaultError, client(None).auth.userpass.login, "j-ann", "wrong", **at)
    refused(exceptions.VaultError, client(None).auth.userpass.login, "j-ann", "wrong", **at)
    limited = refused(exceptions.VaultError, client(None).auth.userpass.login, "j-ann", "newer", **at)
    assert "too many" in str(limited), limited
    u.delete_user("j-ann", **at)


class Cluster(http.server.BaseHTTPRequestHandler):
    """Kubernetes' TokenReview and GitHub's three answers."""

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        token = json.loads(self.rfile.read(int(self.headers["content-length"])))["spec"]["token"]
        good = token.endswith(".good")
        user = {"username": "system:serviceaccount:shop:web", "uid": "u-1", "groups": ["system:serviceaccounts"]}
        self.answer({"status": {"authenticated": good, "user": user if good else {}}})

    def do_GET(self):
        path = self.path.split("?")[0]
        self.answer({"/user": {"login": "ann", "id": 7}, "/user/orgs": [{"login": "org", "id": 1}],
                     "/user/teams": [{"name": "Dev", "slug": "dev", "organization": {"id": 1}}]}.get(path, {"id": 1}))

    def log_message(self, *_):
        pass


def machines():
    c = client()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    c.sys.enable_auth_method("kubernetes", path="j-kubernetes")
    k, at = c.auth.kubernetes, {"mount_point": "j-kubernetes"}
    k.configure(kubernetes_host=host, token_reviewer_jwt="reviewer", **at)
    assert k.read_config(**at)["kubernetes_host"] == host
    k.create_role("j-web", ["web"], ["shop"], policies=["default"], ttl="10m", **at)
    assert "j-web" in k.list_roles(**at)["keys"] and k.read_role("j-web", **at)
    claims = {"kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "u-1"}}}
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    jwt = f"{part({'alg': 'RS256'})}.{part(claims)}"
    got = client(None).auth.kubernetes.login("j-web", jwt + ".good", **at)["auth"]
    assert got["metadata"]["service_account_namespace"] == "shop"
    refused(exceptions.VaultError, client(None).auth.kubernetes.login, "j-web", jwt + ".bad", **at)
    k.delete_role("j-web", **at)
    c.sys.enable_auth_method("github", path="j-github")
    g, at = c.auth.github, {"mount_point": "j-github"}
    g.configure("org", base_url=host, **at)
    assert g.read_configuration(**at)["data"]["organization"] == "org"
    g.map_team("dev", ["default"], **at)
    assert g.read_team_mapping("dev", **at)["data"]["value"] == "default"
    g.map_user("ann", ["default"], **at)
    assert client(None).auth.github.login("token", mount_point="j-github")["auth"]["metadata"]["username"] == "ann"
    server.shutdown()
    # A key of transit's signs the log in token that the jwt method then believes.
    t, j, at = c.secrets.transit, c.auth.jwt, {"path": "j-jwt"}
    t.create_key("j-signer", key_type="ecdsa-p256", mount_point="j-transit")
    public = t.read_key("j-signer", mount_point="j-transit")["data"]["keys"]["1"]["public_key"]
    c.sys.enable_auth_method("jwt", path="j-jwt")
    j.configure(jwt_validation_pubkeys=[public], bound_issuer="judge", **at)
    assert j.read_config(**at)["data"]["bound_issuer"] == "judge"
    j.create_role("j-ci", "sub", ["x"], role_type="jwt", bound_audiences=["herder"], token_policies=["default"],
                  bound_claims={"ref": "main"}, **at)
    assert j.list_roles(**at)["data"]["keys"] == ["j-ci"] and j.read_role("j-ci", **at)["data"]["user_claim"] == "sub"

    def signed(**more):
        body = {"iss": "judge", "sub": "job", "aud": "herder", "ref": "main", "exp": 4102444800, **more}
        text = f"{part({'alg': 'ES256'})}.{part(body)}"
        answer = t.sign_data("j-signer", b64(text), hash_algorithm="sha2-256", marshaling_algorithm="jws",
                             mount_point="j-transit")
        return text + "." + answer["data"]["signature"].split(":")[2]

    assert client(None).auth.jwt.jwt_login("j-ci", signed(), **at)["auth"]["metadata"]["role"] == "j-ci"
    for wrong in ({"ref": "dev"}, {"aud": "other"}, {"iss": "other"}, {"exp": 1000000000}):
        refused(exceptions.VaultError, client(None).auth.jwt.jwt_login, "j-ci", signed(**wrong), **at)
    j.delete_role("j-ci", **at)


def pki():
    c = client()
    for path in ("j-pki", "j-sub"):
        c.sys.enable_secrets_engine("pki", path=path, config={"max_lease_ttl": "8760h"})
    p, root, sub = c.secrets.pki, {"mount_point": "j-pki"}, {"mount_point": "j-sub"}
    p.generate_root("internal", "Judge Root", {"key_type": "ec", "key_bits": 256, "ttl": "8000h"}, **root)
    request = p.generate_intermediate("internal", "Judge Sub", {"key_type": "ec", "key_bits": 256}, **sub)["data"]["csr"]
    signed = p.sign_intermediate(request, "Judge Sub", {"ttl": "4000h"}, **root)["data"]
    p.set_signed_intermediate(signed["certificate"] + "\n" + signed["issuing_ca"], **sub)
    p.set_urls({"issuing_certificates": ["http://127.0.0.1/ca"], "crl_distribution_points": ["http://127.0.0.1/crl"]}, **sub)
    assert p.read_urls(**sub)["data"]["issuing_certificates"]
    p.create_or_update_role("j-web", {"allowed_domains": "example.org", "allow_subdomains": True, "max_ttl": "72h",
                                      "key_type": "ec", "key_bits": 256}, **sub)
    assert p.list_roles(**sub)["data"]["keys"] == ["j-web"] and p.read_role("j-web", **sub)["data"]["allow_subdomains"]
    made = p.generate_certificate("j-web", "a.example.org", {"ttl": "1h"}, **sub)["data"]
    assert "BEGIN CERTIFICATE" in made["certificate"] and made["ca_chain"]
    refused(exceptions.InvalidRequest, p.generate_certificate, "j-web", "evil.org", **sub)
    for call in (p.read_ca_certificate, p.read_ca_certificate_chain, p.read_crl):
        assert call(**sub)
    assert made["serial_number"] in p.list_certificates(**sub)["data"]["keys"]
    assert p.read_certificate(made["serial_number"], **sub)["data"]["certificate"]
    assert p.revoke_certificate(made["serial_number"], **sub)["data"]["revocation_time"] > 0
    p.rotate_crl(**sub)
    p.set_crl_configuration(expiry="24h", **sub)
    assert p.read_crl_configuration(**sub)["data"]["expiry"] == "24h"
    p.tidy({"tidy_cert_store": True, "tidy_revoked_certs": True, "safety_buffer": "1s"}, **sub)
    refused(exceptions.InvalidRequest, p.sign_certificate, "j-web", request, "b.example.org", **sub)
    p.create_or_update_role("j-web", {"allowed_domains": "example.org", "allow_subdomains": True,
                                      "use_csr_common_name": False, "key_type": "ec", "key_bits": 256}, **sub)
    p.sign_certificate("j-web", request, "b.example.org", **sub)
    p.sign_verbatim(request, **sub)
    issuer = c.list("j-sub/issuers")["data"]["keys"][0]
    p.update_issuer(issuer, {"issuer_name": "main"}, **sub)
    assert p.read_issuer("main", **sub)["data"]["issuer_name"] == "main"
    p.delete_role("j-web", **sub)


def transit():
    c = client()
    c.sys.enable_secrets_engine("transit", path="j-transit")
    t, at = c.secrets.transit, {"mount_point": "j-transit"}
    t.create_key("j-aes", exportable=True, allow_plaintext_backup=True, **at)
    first = t.encrypt_data("j-aes", b64("hello"), **at)["data"]["ciphertext"]
    t.rotate_key("j-aes", **at)
    second = t.rewrap_data("j-aes", first, **at)["data"]["ciphertext"]
    assert first.startswith("vault:v1:") and second.startswith("vault:v2:")
    for text in (first, second):
        assert t.decrypt_data("j-aes", text, **at)["data"]["plaintext"] == b64("hello")
    t.update_key_configuration("j-aes", min_decryption_version=2, deletion_allowed=True, **at)
    refused(exceptions.InvalidRequest, t.decrypt_data, "j-aes", first, **at)
    assert t.read_key("j-aes", **at)["data"]["latest_version"] == 2 and "j-aes" in t.list_keys(**at)["data"]["keys"]
    assert t.export_key("j-aes", "encryption-key", **at)["data"]["keys"]
    backup = t.backup_key("j-aes", **at)["data"]["backup"]
    t.restore_key(backup, name="j-restored", **at)
    assert t.decrypt_data("j-restored", second, **at)["data"]["plaintext"] == b64("hello")
    assert t.generate_data_key("j-aes", "plaintext", **at)["data"]["plaintext"]
    assert len(base64.b64decode(t.generate_random_bytes(32, **at)["data"]["random_bytes"])) == 32
    assert t.hash_data(b64("x"), **at)["data"]["sum"].startswith("2d711642")
    tag = t.generate_hmac("j-aes", b64("x"), **at)["data"]["hmac"]
    assert t.verify_signed_data("j-aes", b64("x"), hmac=tag, **at)["data"]["valid"]
    for kind in ("ed25519", "ecdsa-p256", "rsa-2048"):
        name = "j-" + kind
        t.create_key(name, key_type=kind, **at)
        signature = t.sign_data(name, b64("x"), **at)["data"]["signature"]
        assert t.verify_signed_data(name, b64("x"), signature=signature, **at)["data"]["valid"]
        assert not t.verify_signed_data(name, b64("y"), signature=signature, **at)["data"]["valid"]
    t.delete_key("j-aes", **at)


def database():
    """As far as that is possible without one: nothing here connects."""
    c = client()
    c.sys.enable_secrets_engine("database", path="j-database")
    d, at = c.secrets.database, {"mount_point": "j-database"}
    d.configure("j-main", "postgresql-database-plugin", verify_connection=False, allowed_roles=["j-app", "j-fixed"],
                connection_url="postgresql://{{username}}:{{password}}@127.0.0.1:1/x", username="admin", password="p", **at)
    assert d.list_connections(**at)["data"]["keys"] == ["j-main"]
    assert "password" not in d.read_connection("j-main", **at)["data"]["connection_details"]
    d.reset_connection("j-main", **at)
    d.create_role("j-app", "j-main", ["CREATE ROLE \"{{name}}\""], default_ttl="1h", **at)
    assert d.list_roles(**at)["data"]["keys"] == ["j-app"] and d.read_role("j-app", **at)["data"]["default_ttl"] == 3600
    refused(exceptions.InternalServerError, d.generate_credentials, "j-app", **at)
    refused(exceptions.InternalServerError, d.create_static_role, "j-fixed", "j-main", "ann", [], 60, **at)
    refused(exceptions.InvalidPath, d.read_static_role, "j-fixed", **at)
    fixed = {"db_name": "j-main", "username": "ann", "rotation_period": "1h", "skip_import_rotation": True}
    c.write_data("j-database/static-roles/j-fixed", data=fixed)
    assert d.list_static_roles(**at)["data"]["keys"] == ["j-fixed"]
    assert d.read_static_role("j-fixed", **at)["data"]["rotation_period"] == 3600
    refused(exceptions.InvalidRequest, d.get_static_credentials, "j-fixed", **at)
    refused(exceptions.InternalServerError, d.rotate_static_role_credentials, "j-fixed", **at)
    refused(exceptions.InternalServerError, d.rotate_root_credentials, "j-main", **at)
    d.delete_static_role("j-fixed", **at)
    d.delete_role("j-app", **at)
    d.delete_connection("j-main", **at)


def identity():
    c = client()
    i = c.secrets.identity
    accessor = c.sys.list_auth_methods()["data"]["j-approle/"]["accessor"]
    entity = i.create_or_update_entity("j-ann", policies=["default"], metadata={"team": "shop"})["data"]["id"]
    assert i.read_entity_by_name("j-ann")["data"]["id"] == entity and i.read_entity(entity)["data"]["metadata"]
    alias = i.create_or_update_entity_alias("j-app2", entity, accessor)["data"]["id"]
    assert i.read_entity_alias(alias)["data"]["canonical_id"] == entity
    group = i.create_or_update_group("j-team", member_entity_ids=[entity], policies=["j-templated"])["data"]["id"]
    assert i.read_group_by_name("j-team")["data"]["id"] == group and i.read_group(group)
    assert i.lookup_entity(name="j-ann")["data"]["id"] == entity and i.lookup_group(name="j-team")["data"]["id"] == group
    assert entity in i.list_entities()["data"]["keys"] and group in i.list_groups()["data"]["keys"]
    c.sys.create_or_update_policy("j-templated", 'path "secret/data/{{identity.entity.metadata.team}}/*" '
                                  '{ capabilities = ["create", "read", "update"] }')
    a, at = c.auth.approle, {"mount_point": "j-approle"}
    a.create_or_update_approle("j-app2", bind_secret_id=False, secret_id_bound_cidrs=["127.0.0.1/32"], **at)
    a.update_role_id("j-app2", "j-app2", **at)
    got = a.login("j-app2", use_token=False, **at)["auth"]
    assert got["entity_id"] == entity, "the alias leads to the entity"
    mine = client(got["client_token"])
    mine.secrets.kv.v2.create_or_update_secret("shop/j-a", {"x": "1"})
    refused(exceptions.Forbidden, mine.secrets.kv.v2.create_or_update_secret, "other/j-a", {"x": "1"})
    i.create_named_key("j-key", allowed_client_ids=["*"])
    i.create_or_update_role("j-oidc", "j-key")
    token = mine_token(c, got)
    assert i.introspect_signed_id_token(token)["active"]
    assert i.read_well_known_configurations()["issuer"] and i.read_active_public_keys()["keys"]
    i.rotate_named_key("j-key", verification_ttl="1h")
    i.delete_role("j-oidc")
    i.delete_named_key("j-key")
    i.delete_entity_alias(alias)
    i.delete_group(group)
    i.delete_entity(entity)


def mine_token(c, auth):
    c.sys.create_or_update_policy("default", c.sys.read_policy("default")["data"]["rules"]
                                  + '\npath "identity/oidc/token/*" { capabilities = ["read"] }')
    return client(auth["client_token"]).secrets.identity.generate_signed_id_token("j-oidc")["data"]["token"]


def tools():
    c = client()
    assert c.write_data("sys/tools/random/16", data={"format": "hex"})["data"]["random_bytes"]
    assert c.write_data("sys/tools/hash/sha2-256", data={"input": b64("x")})["data"]["sum"].startswith("2d711642")
    assert "kv" in c.adapter.get("/v1/sys/plugins/catalog")["data"]["secret"]
    outside = hvac.Client(url=ADDRESS, token=ROOT, adapter=Recorder, namespace="team")
    assert "namespaces are not supported" in str(refused(exceptions.VaultError, outside.sys.list_policies))


def main():
    import tempfile
    directory = tempfile.mkdtemp()
    for family in (seal, mounts, policies, tokens, key_value, wrapping, pki, transit,
                   lambda: leases_and_audit(directory), approle, people, machines, database, identity, tools):
        name = getattr(family, "__name__", "").strip("<>")
        family()
        print(f"ok {'leases_and_audit' if name == 'lambda' else name}", flush=True)
    good = {}
    for (path, method), outcomes in SEEN.items():
        if "ok" in outcomes:
            good.setdefault(path, set()).add("PUT, POST" if method in ("PUT", "POST") else method)
    if len(sys.argv) > 4:
        with open(sys.argv[4], "w", encoding="utf-8") as out:
            out.write("| endpoint | methods |\n|---|---|\n")
            for path in sorted(good):
                out.write(f"| `{path}` | {', '.join(sorted(good[path]))} |\n")
    print(f"{len(good)} endpoints, {sum(map(len, good.values()))} with their methods, answered as hvac expects")


main()
