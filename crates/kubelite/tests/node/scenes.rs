//! All scenes in their order, and the end of clusters whose plug is pulled.

use super::cluster::{Cluster, processes, sh};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::AsyncBufReadExt;

pub(crate) async fn run(dir: &Path, root: bool, only: Option<&str>) {
    let who = if root { "root" } else { "user" };
    let cluster = Cluster::start(dir, root).await;
    macro_rules! scene {
        ($($name:ident),*) => {$(
            if only.is_none_or(|only| stringify!($name).contains(only)) {
                let begun = Instant::now();
                cluster.$name().await;
                println!("test {who}::{} ... ok ({:.2} s)", stringify!($name), begun.elapsed().as_secs_f64());
            }
        )*};
    }
    scene!(
        registers,
        environment,
        images,
        talks,
        volumes,
        init_and_sidecar,
        probes,
        crashes,
        bad_pods,
        ends,
        names,
        bounds,
        memory,
        users,
        node_network,
        claims,
        udp,
        ended_hold_nothing,
        cancelled,
        many,
        killed
    );
    cluster.nothing_left().await;
    println!("test {who}::nothing_left ... ok");
    for killed in ["the control plane", "the fabric"] {
        plug_pulled(&dir.join(killed.rsplit(' ').next().unwrap()), killed).await;
        println!("test {who}::plug_pulled_on {killed} ... ok");
    }
}

/// A process with a cluster, to be killed: prints the fabric's process id when a pod runs.
pub(crate) async fn victim(dir: &Path) {
    let cluster = Cluster::start(dir, nix::unistd::geteuid().is_root()).await;
    let marker = std::env::var("HERDER_TEST_MARKER").unwrap();
    cluster.api.pod(
        "v",
        "n1",
        json!({"containers": [sh(&format!("sleep {marker} & wait"))]}),
    );
    cluster.ready("v").await;
    println!("pid {}", cluster.fabric.pid());
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// SIGKILL on the control plane or on the fabric leaves no process and no mount.
async fn plug_pulled(dir: &Path, what: &str) {
    // A name with what mount options and socket paths stumble over.
    let dir = dir.join(format!("a,b:c {}", "long".repeat(25)));
    std::fs::create_dir_all(&dir).unwrap();
    let marker = format!("986{}", std::process::id());
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .env("HERDER_TEST_VICTIM", &dir)
        .env("HERDER_TEST_MARKER", &marker)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let fabric = loop {
        let line = lines.next_line().await.unwrap().expect("the cluster to come up");
        if let Some(pid) = line.strip_prefix("pid ") {
            break pid.parse::<i32>().unwrap();
        }
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes(&marker) == 0 {
        assert!(Instant::now() < deadline, "the pod's process does not show");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let control_plane = i32::try_from(child.id().unwrap()).unwrap();
    let pid = if what == "the fabric" {
        fabric
    } else {
        control_plane
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes(&marker) + processes(&format!("internal\0fabric\0{}", dir.display())) > 0 {
        assert!(Instant::now() < deadline, "processes stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("longlong"), "{mounts}");
    // What a killed control plane cannot remove, the next start of the same cluster does.
    child.kill().await.unwrap();
    herder_node::fabric::remove_cgroups(&format!("test{control_plane}"));
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        assert!(
            !hierarchy
                .path()
                .join(format!("herder-test{control_plane}"))
                .exists()
        );
    }
}
