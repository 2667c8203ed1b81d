//! System calls that no container needs.

use super::attacked::{Cluster, Dir, as_both};
use serde_json::json;

/// Calls by number (of this architecture), with what they must answer.
#[cfg(target_arch = "x86_64")]
const CALLS: &str = "keyctl=250,0 add_key=248,0 bpf=321,0 io_uring=425,1 userfaultfd=323,0 mount=165,0 unshare=272,268435456 \
                     kexec=246,0 open_by_handle=304,0 perf=298,0 swapon=167,0 settime=164,0 iopl=172,3 clone3=435,0";
#[cfg(not(target_arch = "x86_64"))]
const CALLS: &str = "keyctl=219,0 add_key=217,0 bpf=280,0 io_uring=425,1 userfaultfd=282,0 mount=40,0 unshare=97,268435456 \
                     open_by_handle=265,0 perf=241,0 swapon=224,0 clone3=435,0";

#[test]
fn a_pod_makes_no_call_that_it_does_not_need() {
    as_both(|who| {
        let dir = Dir::new("seccomp");
        let cluster = Cluster::start(who, &dir, 1);
        cluster.deployer("shop");
        let program = format!(
            "import ctypes, os, socket\n\
             libc = ctypes.CDLL(None, use_errno=True)\n\
             for call in '{CALLS}'.split():\n\
             \x20   name, rest = call.split('=')\n\
             \x20   number, first = rest.split(',')\n\
             \x20   ctypes.set_errno(0)\n\
             \x20   libc.syscall(ctypes.c_long(int(number)), ctypes.c_long(int(first)), 0, 0, 0, 0, 0)\n\
             \x20   print(name, ctypes.get_errno())\n\
             try:\n\
             \x20   socket.socket(40, socket.SOCK_STREAM); print('vsock opened')\n\
             except OSError as error: print('vsock', error.errno)\n"
        );
        let script = "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; unshare -U echo a-namespace 2>&1; \
             until test -s /tmp/probe; do sleep 0.05; done; echo probe $(cat /tmp/probe); python3 -c \"$PROGRAM\"; \
             python3 -c 'import threading, subprocess; t = threading.Thread(target=lambda: None); t.start(); t.join(); \
             print(subprocess.run([\"echo\", \"works\"], capture_output=True).stdout)'";
        let more = json!({"spec": {"containers": [{
            "env": [{"name": "PROGRAM", "value": program}],
            "readinessProbe": {"periodSeconds": 1, "exec": {"command": ["sh", "-c",
                "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status > /tmp/p; mv /tmp/p /tmp/probe"]}}}]}});
        let said = cluster.script("shop", "calls", script, &more);
        assert!(said.ok && said.out.contains("works"), "{said:?}");
        let line = |name: &str| {
            let line = said.out.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name}: {said:?}"))
                .trim()
                .to_owned()
        };
        assert_eq!(
            (line("Seccomp:").as_str(), line("NoNewPrivs:").as_str()),
            ("2", "1"),
            "{who:?}: {said:?}"
        );
        let probe = line("probe ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(probe, "NoNewPrivs: 1 Seccomp: 2", "a probe may more: {said:?}");
        assert!(!said.out.contains("a-namespace\n"), "{said:?}");
        for call in CALLS.split_whitespace() {
            let name = call.split('=').next().unwrap();
            // What programs have an older call for does not exist.
            let wanted = if name == "clone3" { "38" } else { "1" };
            assert_eq!(line(&format!("{name} ")), wanted, "{name}: {said:?}");
        }
        assert_eq!(line("vsock "), "1", "{said:?}");

        // What this node cannot enforce is refused, not left out.
        for (name, context, says) in [
            (
                "localhost",
                json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "mine.json"}}),
                "this node has no profiles of its own",
            ),
            (
                "apparmor",
                json!({"appArmorProfile": {"type": "RuntimeDefault"}}),
                "Cannot enforce AppArmor",
            ),
        ] {
            let more = json!({"spec": {"containers": [{"securityContext": context}]}});
            let said = cluster.script("shop", name, "echo ran", &more);
            assert!(!said.ok && !said.out.contains("ran"), "{said:?}");
            assert!(said.err.contains(says), "{said:?}");
        }
    });
}
