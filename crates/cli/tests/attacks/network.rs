//! Other pods' traffic, network policies, and what else a pod may try on the network between pods.

use crate::attacked::{Cluster, Dir, Who, as_both, merge, until};
use herder_base::{Clock, SystemClock};
use serde_json::{Value, json};
use std::time::Duration;

/// Says hello to whoever connects and echoes what it hears; prints who sends packets, and from where.
const SERVER: &str = r#"
import socket as s, threading as t
def talk(c):
  try:
    c.sendall(b'hi\n')
    while d := c.recv(99): c.sendall(d)
  except OSError: pass
def tcp():
  l=s.socket(); l.setsockopt(s.SOL_SOCKET,s.SO_REUSEADDR,1); l.bind(('',8080)); l.listen(99)
  while 1: t.Thread(target=talk,args=(l.accept()[0],),daemon=True).start()
t.Thread(target=tcp,daemon=True).start()
u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.bind(('',9000))
while 1:
  d,a=u.recvfrom(99); print(a[0],d.decode(),flush=True); u.sendto(d,a)
"#;

/// `ADDRESS PORT tcp|udp|dns …`: asks them all again and again, and prints when it began and which answered.
const TELL: &str = r#"
import socket as s, sys, time, struct
name=b''.join(bytes([len(p)])+p for p in b'kubernetes.default.svc.cluster.local'.split(b'.'))+b'\0'
query=struct.pack('!6H',7,256,1,0,0,0)+name+struct.pack('!2H',1,1)
def ask(a,p,k):
  try:
    if k=='tcp':
      c=s.create_connection((a,p),1); c.settimeout(1); return c.recv(9)==b'hi\n'
    c=s.socket(s.AF_INET,s.SOCK_DGRAM); c.settimeout(0.3); c.connect((a,p)); c.send(query if k=='dns' else b'x')
    return len(c.recv(999))>0
  except OSError: return False
args=sys.argv[1:]
while 1:
  begun=time.time()
  print(begun,''.join('+' if ask(args[i],int(args[i+1]),args[i+2]) else '-' for i in range(0,len(args),3)),flush=True)
  time.sleep(0.05)
"#;

/// `ADDRESS`: tries again and again, and prints when what it sees changes.
const WATCH: &str = r#"
import socket as s, sys, time
was=None
while 1:
  try:
    c=s.create_connection((sys.argv[1],8080),0.2); c.settimeout(0.2); now='open' if c.recv(9) else 'closed'; c.close()
  except OSError: now='closed'
  if now!=was: print(now,time.time(),flush=True); was=now
  time.sleep(0.02)
"#;

/// `ADDRESS PORT`: one connection, used as long as it lasts.
const HOLD: &str = r#"
import socket as s, sys, time
c=s.create_connection((sys.argv[1],int(sys.argv[2])),5); c.settimeout(1); c.recv(9)
try:
  while 1:
    c.send(b'x'); print('lives' if c.recv(9) else 1/0,flush=True); time.sleep(0.05)
except Exception as e: print('cut',time.time(),flush=True); time.sleep(1000)
"#;

/// `ADDRESS`: one try, at once.
const HASTY: &str = r#"
import socket as s, sys
print('closed' if s.socket().connect_ex((sys.argv[1],8080)) else 'open')
"#;

/// `VICTIM ITS-SERVER`: says that the server is here, to everybody and to the victim, and listens to what comes.
const POISON: &str = r#"
import socket as s, struct, sys, time, fcntl
victim,server=map(s.inet_aton,sys.argv[1:3])
try: raw=s.socket(s.AF_PACKET,s.SOCK_RAW,s.htons(3))
except OSError as e: print('no raw sockets:',e); sys.exit()
raw.bind(('eth0',0)); raw.settimeout(0.02)
mac=raw.getsockname()[4]
end=time.time()+4; seen=b''
while time.time()<end and b'SECRET' not in seen:
  for to,target in ((b'\xff'*6,server),(b'\x0a\x58'+victim,victim)):
    raw.send(to+mac+b'\x08\x06'+struct.pack('!HHBBH',1,0x800,6,4,2)+mac+server+to+target)
  for _ in range(20):
    try: seen=raw.recv(2000)
    except OSError: break
    if b'SECRET' in seen: break
print('STOLEN' if b'SECRET' in seen else 'nothing')
"#;

/// `VICTIM SERVER`: packets in the victim's name, by a header of its own and by an address of its own.
const SPOOF: &str = r#"
import socket as s, struct, sys, subprocess
victim,server=sys.argv[1:3]
try:
  raw=s.socket(s.AF_INET,s.SOCK_RAW,s.IPPROTO_RAW)
  data=b'SPOOFED'
  udp=struct.pack('!HHHH',4444,9000,8+len(data),0)+data
  ip=struct.pack('!BBHHHBBH4s4s',0x45,0,20+len(udp),1,0,64,17,0,s.inet_aton(victim),s.inet_aton(server))
  for _ in range(5): raw.sendto(ip+udp,(server,0))
except OSError as e: print('raw:',e)
try:
  subprocess.run(['ip','addr','add',victim+'/32','dev','lo'],check=True)
  u=s.socket(s.AF_INET,s.SOCK_DGRAM); u.bind((victim,0))
  for _ in range(5): u.sendto(b'SPOOFED',(server,9000))
except Exception as e: print('address:',e)
print('sent')
"#;

fn namespaces(cluster: &Cluster) -> String {
    cluster.deployer("shop");
    let attacker = cluster.deployer("evil");
    // The administrator trusts them with every capability: what holds here holds for all the others.
    for namespace in ["shop", "evil"] {
        let label = "pod-security.kubernetes.io/enforce=privileged";
        let said = cluster.kubectl(&["label", "namespace", namespace, "--overwrite", label], "");
        assert!(said.ok, "{said:?}");
    }
    attacker
}

/// A pod that runs a Python program until it is deleted; its address, once it is ready.
fn pod(cluster: &Cluster, namespace: &str, name: &str, code: &[&str], more: &Value) -> String {
    let command: Vec<&str> = ["python3", "-u", "-c"].iter().chain(code).copied().collect();
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "host", "command": command}]},
    });
    merge(&mut pod, more);
    let said = cluster.kubectl(&["create", "-f", "-"], &pod.to_string());
    assert!(said.ok, "{said:?}");
    until(&format!("pod {name} to be ready"), || {
        let pod = cluster.pod(namespace, name);
        let conditions = pod["status"]["conditions"].as_array()?;
        conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
            .then(|| pod["status"]["podIP"].as_str().unwrap_or_default().to_owned())
    })
}

/// Runs a Python program in a pod to its end; what it printed.
fn once(cluster: &Cluster, namespace: &str, name: &str, code: &[&str], more: &Value) -> String {
    let command: Vec<&str> = ["python3", "-u", "-c"].iter().chain(code).copied().collect();
    let mut over = json!({"spec": {"containers": [{"command": command}]}});
    merge(&mut over, more);
    let said = cluster.script(namespace, name, "", &over);
    assert!(said.ok, "{said:?}");
    said.out
}

fn powers() -> Value {
    json!({"spec": {"containers": [{"securityContext": {"capabilities": {"add": ["NET_RAW", "NET_ADMIN"]}}}]}})
}

fn now() -> f64 {
    SystemClock.now().as_duration().as_secs_f64()
}

/// Nobody hears, or speaks in the name of, another pod.
#[test]
fn other_pods_packets() {
    as_both(|who| {
        let dir = Dir::new("network-wire");
        let cluster = Cluster::start(who, &dir, 2);
        namespaces(&cluster);
        let server = pod(&cluster, "shop", "server", &[SERVER], &json!({}));
        let same_node = json!({"spec": {"nodeName": cluster.pod("shop", "server")["spec"]["nodeName"]}});
        let says = "import socket as s,sys,time
u=s.socket(s.AF_INET,s.SOCK_DGRAM)
while 1: u.sendto(b'SECRET',(sys.argv[1],9000)); time.sleep(0.02)";
        let victim = pod(&cluster, "shop", "victim", &[says, &server], &same_node);
        let mut more = same_node.clone();
        merge(&mut more, &powers());
        let mut open = Tally::default();
        let said = once(&cluster, "evil", "poisons", &[POISON, &victim, &server], &more);
        open.note(said.contains("STOLEN"), "another pod's packets, by ARP", &said);

        let said = once(&cluster, "evil", "spoofs", &[SPOOF, &victim, &server], &more);
        assert!(said.contains("sent"), "{who:?}: {said:?}");
        let heard = cluster.kubectl(&["-n", "shop", "logs", "server"], "");
        assert!(heard.out.contains("SECRET"), "the victim itself is heard");
        open.note(
            heard.out.contains("SPOOFED"),
            "packets in another's name",
            &heard.out,
        );

        // No second network beside the one that is watched, and no neighbours to find.
        let looks = "print(open('/proc/net/if_inet6').read())";
        let said = once(&cluster, "evil", "looks", &[looks], &json!({}));
        open.note(said.contains("eth0"), "IPv6 between pods", &said);

        // The machine's side: only service addresses are there for pods.
        let tries = "import socket as s
for a,p in (('10.42.0.1',1),('10.42.1.1',1),('10.42.2.1',22),('169.254.1.1',1),('127.0.0.2',1)):
  c=s.socket(); c.settimeout(1)
  print(a,c.connect_ex((a,p)))
print('dns',len(s.getaddrinfo('kubernetes.default.svc.cluster.local',443)))";
        let said = once(&cluster, "evil", "tries", &[tries], &json!({}));
        for address in ["10.42.0.1", "10.42.1.1", "10.42.2.1"] {
            // 113: no route. Anything else would mean that the address itself answered.
            let there = !said.contains(&format!("{address} 113\n"));
            open.note(there, &format!("the machine's side at {address}"), &said);
        }
        assert!(said.contains("dns "), "{who:?}: {said:?}");

        starving(&cluster, &mut open);
        forbidden_endpoints(&cluster, &mut open);
        assert!(
            open.0.is_empty(),
            "{who:?}: these attacks succeed:\n{}",
            open.0.join("\n")
        );
    });
}

/// Attacks that succeeded.
#[derive(Default)]
struct Tally(Vec<String>);

impl Tally {
    fn note(&mut self, succeeded: bool, attack: &str, seen: &str) {
        if succeeded {
            let seen: String = seen.chars().take(200).collect();
            self.0.push(format!("- {attack}: {seen:?}"));
        }
    }
}

/// One pod holds every place of the DNS server's that it can get.
fn starving(cluster: &Cluster, open: &mut Tally) {
    let holds = "import socket as s,time
held=[]
for _ in range(540):
  c=s.socket(); c.settimeout(0.1)
  try: c.connect(('10.96.0.10',53)); held.append(c)
  except OSError: pass
print('held',len(held),flush=True)
time.sleep(10000)";
    pod(cluster, "evil", "greedy", &[holds], &json!({}));
    until("connections", || {
        let said = cluster.kubectl(&["-n", "evil", "logs", "greedy"], "");
        said.out.contains("held").then_some(())
    });
    let asks = "import socket as s,time; b=time.time()
try: s.getaddrinfo('kubernetes.default.svc.cluster.local',443)
except OSError: pass
print(time.time()-b)";
    let said = once(cluster, "shop", "asks", &[asks], &json!({}));
    let took: f64 = said.trim().parse().unwrap();
    open.note(took > 2.0, "names kept from others (seconds)", &said);
}

/// Endpoints that lead where pods have no business: refused where Kubernetes refuses, and never dialled.
fn forbidden_endpoints(cluster: &Cluster, open: &mut Tally) {
    let token = cluster.deployer("evil");
    let service = |name: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "evil"}, "spec": {"ports": [{"port": 80}]}});
    let slice = |name: &str, address: &str, port: u16| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "evil", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"port": port}], "endpoints": [{"addresses": [address]}],
        })
    };
    for (address, words) in [
        (
            "127.0.0.1",
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            "169.254.169.254",
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        ),
        ("0.0.0.0", "may not be unspecified (0.0.0.0 or ::)"),
        ("10.96.0.1", "may not be a service address (10.96.0.0/16)"),
    ] {
        let objects = [
            slice(&format!("bad-{address}"), address, 443),
            json!({
                "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": format!("bad-{address}"), "namespace": "evil"},
                "subsets": [{"addresses": [{"ip": address}], "ports": [{"port": 443}]}],
            }),
        ];
        for object in objects {
            let said = cluster.kubectl_with(&token, &["create", "-f", "-"], &object.to_string());
            let denied = said.err.contains("forbidden:");
            let told = !said.ok && (denied || said.err.contains(words));
            open.note(!told, &format!("an endpoint at {address}"), &said.err);
        }
    }
    // A node's own address is no special one to Kubernetes; it is not dialled.
    let said = cluster.kubectl(&["create", "-f", "-"], &service("node").to_string());
    assert!(said.ok, "{said:?}");
    let said = cluster.kubectl(
        &["create", "-f", "-"],
        &slice("node", "10.42.1.1", 22).to_string(),
    );
    assert!(said.ok, "{said:?}");
    std::thread::sleep(Duration::from_secs(2));
    let said = cluster.kubectl(&["-n", "evil", "get", "events", "-o", "json"], "");
    let told = said.out.contains("endpoint 10.42.1.1 is not used");
    open.note(
        !told,
        "an endpoint at a node",
        "no event says that it is not used",
    );
}

/// Whom a server in `shop` hears, by its own address and by its service's: the friend in `shop`, a stranger in `evil`.
struct Stage<'a> {
    cluster: &'a Cluster,
    who: Who,
    server: String,
    service: String,
}

impl Stage<'_> {
    /// Seen: the friend's TCP and UDP, each directly and by the service; the stranger's TCP both ways, and names.
    fn seen(&self) -> String {
        let since = now();
        let of = |namespace, pod| {
            until(&format!("word of {pod}"), || {
                let said = self
                    .cluster
                    .kubectl(&["-n", namespace, "logs", "--tail=1", pod], "");
                let (begun, seen) = said.out.trim().split_once(' ')?;
                (begun.parse::<f64>().ok()? > since).then(|| seen.to_owned())
            })
        };
        format!("{} {}", of("shop", "friend"), of("evil", "stranger"))
    }

    fn policy(&self, namespace: &str, spec: &Value) {
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": namespace}, "spec": spec});
        let said = self
            .cluster
            .kubectl(&["replace", "--force", "-f", "-"], &policy.to_string());
        assert!(said.ok, "{said:?}");
    }

    fn no_policy(&self, namespace: &str) {
        let said = self
            .cluster
            .kubectl(&["-n", namespace, "delete", "networkpolicy", "p"], "");
        assert!(said.ok, "{said:?}");
    }

    /// What is seen, once it is `wanted`: a busy machine may lose an answer, but lets nothing through.
    fn settles(&self, wanted: &str) -> String {
        let mut seen = String::new();
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(250));
            seen = self.seen();
            if seen == wanted {
                break;
            }
        }
        seen
    }

    /// Runs `change`, and says how long after it the pod `watcher` saw `state`.
    fn noticed(&self, pod: &str, state: &str, change: impl FnOnce()) -> f64 {
        let before = now();
        change();
        let after = now();
        until(&format!("{pod} to see {state}"), || {
            let said = self.cluster.kubectl(&["-n", "evil", "logs", pod], "");
            said.out.lines().rev().find_map(|line| {
                let (seen, at) = line.split_once(' ')?;
                let at: f64 = at.parse().ok()?;
                (seen == state && at > before).then_some((at - after).max(0.0))
            })
        })
    }
}

/// What policies say holds, soon after they say it, by every way there is.
#[test]
fn policies() {
    as_both(|who| {
        let dir = Dir::new("network-policies");
        let cluster = Cluster::start(who, &dir, 2);
        namespaces(&cluster);
        let probe = json!({"spec": {"containers": [{
            "ports": [{"name": "web", "containerPort": 8080}],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1},
        }]}});
        let server = pod(&cluster, "shop", "server", &[SERVER], &probe);
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": "shop"},
            "spec": {"selector": {"app": "server"}, "ports": [
                {"name": "t", "port": 80, "targetPort": "web"}, {"name": "u", "port": 90, "targetPort": 9000, "protocol": "UDP"}]}});
        let said = cluster.kubectl(
            &["create", "-f", "-", "-o", "jsonpath={.spec.clusterIP}"],
            &service.to_string(),
        );
        assert!(said.ok, "{said:?}");
        let (direct, vip) = (server.as_str(), said.out.as_str());
        let tcp = [direct, "8080", "tcp", vip, "80", "tcp"];
        let friend = [&[TELL][..], &tcp, &[direct, "9000", "udp", vip, "90", "udp"]].concat();
        let friend = pod(&cluster, "shop", "friend", &friend, &json!({}));
        let stranger = [&[TELL][..], &tcp, &["10.96.0.10", "53", "dns"]].concat();
        pod(&cluster, "evil", "stranger", &stranger, &json!({}));
        let stage = Stage {
            cluster: &cluster,
            who,
            server: direct.to_owned(),
            service: vip.to_owned(),
        };
        until("an open service", || (stage.seen() == "++++ +++").then_some(()));
        in_time(&stage);

        let chosen = json!({"matchLabels": {"app": "server"}});
        let to_server =
            |ingress: Value| json!({"podSelector": chosen, "policyTypes": ["Ingress"], "ingress": ingress});
        let evil = json!({"matchLabels": {"kubernetes.io/metadata.name": "evil"}});
        let friends = json!({"matchLabels": {"app": "friend"}});
        for (what, spec, seen) in [
            (
                "default deny",
                json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
                "---- --+",
            ),
            (
                "by pod",
                to_server(json!([{"from": [{"podSelector": friends}]}])),
                "++++ --+",
            ),
            (
                "by namespace",
                to_server(json!([{"from": [{"namespaceSelector": evil}]}])),
                "---- +++",
            ),
            (
                "both",
                to_server(json!([{"from": [{"namespaceSelector": evil, "podSelector": friends}]}])),
                "---- --+",
            ),
            (
                "a named port",
                to_server(json!([{"ports": [{"port": "web"}]}])),
                "++-- +++",
            ),
            (
                "another port",
                to_server(json!([{"ports": [{"port": 80}]}])),
                "---- --+",
            ),
            (
                "a range",
                to_server(json!([{"ports": [{"port": 8000, "endPort": 8100}]}])),
                "++-- +++",
            ),
            (
                "udp",
                to_server(json!([{"ports": [{"port": 9000, "protocol": "UDP"}]}])),
                "--++ --+",
            ),
            (
                "a block",
                to_server(
                    json!([{"from": [{"ipBlock": {"cidr": "10.42.0.0/16", "except": [format!("{friend}/32")]}}]}]),
                ),
                "---- +++",
            ),
        ] {
            stage.policy("shop", &spec);
            assert_eq!(stage.settles(seen), seen, "{who:?}: {what}");
        }
        // The server was ready all the time: probes come from its node.
        let pod = cluster.pod("shop", "server");
        let ready = pod["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True");
        assert!(ready, "{who:?}: {pod}");
        stage.no_policy("shop");

        // What the stranger may send.
        let out = |egress: Value| json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": egress});
        let dns = json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53, "protocol": "UDP"}]});
        let shop =
            json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}]});
        for (what, spec, seen) in [
            ("nothing out", out(json!([])), "++++ ---"),
            ("names only", out(json!([dns])), "++++ --+"),
            ("to shop only", out(json!([shop])), "++++ ++-"),
            ("both", out(json!([shop, dns])), "++++ +++"),
        ] {
            stage.policy("evil", &spec);
            assert_eq!(stage.settles(seen), seen, "{who:?}: {what}");
        }
        // A pod that is started under a policy has it from its first moment.
        stage.policy("evil", &out(json!([])));
        std::thread::sleep(Duration::from_millis(300));
        let first = once(&cluster, "evil", "hasty", &[HASTY, &stage.server], &json!({}));
        assert_eq!(first, "closed\n", "{who:?}: the first packet of a pod");
    });
}

/// Changes of policies and of labels hold within a second, for open connections as well.
fn in_time(stage: &Stage<'_>) {
    let (cluster, who) = (stage.cluster, stage.who);
    pod(cluster, "evil", "watcher", &[WATCH, &stage.server], &json!({}));
    pod(
        cluster,
        "evil",
        "holds",
        &[HOLD, &stage.server, "8080"],
        &json!({}),
    );
    pod(
        cluster,
        "evil",
        "holds-service",
        &[HOLD, &stage.service, "80"],
        &json!({}),
    );
    until("open connections", || {
        let of = |pod| cluster.kubectl(&["-n", "evil", "logs", pod], "").out;
        let held = ["holds", "holds-service"].map(of);
        (of("watcher").contains("open") && held.iter().all(|out| out.contains("lives"))).then_some(())
    });
    let labelled = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"vip": "yes"}}}]}]});
    let begun = now();
    let mut took = vec![(
        "policy",
        stage.noticed("watcher", "closed", || stage.policy("shop", &labelled)),
    )];
    let cut = |pod| {
        until("a cut connection", || {
            let said = cluster.kubectl(&["-n", "evil", "logs", pod], "");
            let at = said.out.lines().find_map(|line| line.strip_prefix("cut "))?;
            Some(at.parse::<f64>().ok()? - begun)
        })
    };
    // The kernel drops what an open connection sends; the holder waits a second for an answer before it says so. The
    // command itself takes some of the time.
    took.push(("open connection", cut("holds") - 1.0));
    took.push(("open connection by the service", cut("holds-service")));
    let label = |label: &str| {
        let said = cluster.kubectl(&["-n", "evil", "label", "pod", "watcher", label], "");
        assert!(said.ok, "{said:?}");
    };
    took.push(("label", stage.noticed("watcher", "open", || label("vip=yes"))));
    took.push(("label gone", stage.noticed("watcher", "closed", || label("vip-"))));
    took.push((
        "no policy",
        stage.noticed("watcher", "open", || stage.no_policy("shop")),
    ));
    eprintln!("{who:?}: seconds after the command's end: {took:?}");
    assert!(
        took.iter().all(|(_, seconds)| *seconds < 1.0),
        "{who:?}: {took:?}"
    );
    for pod in ["watcher", "holds", "holds-service"] {
        cluster.kubectl(&["-n", "evil", "delete", "pod", pod, "--wait=false"], "");
    }
}
