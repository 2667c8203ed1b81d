//! What is sent to the kernel, and, where the tests may have a network namespace of their own, that it takes it.

use super::*;
use crate::fabric::policy::{PolicyPod, Transport};
use nix::sched::{CloneFlags, unshare};
use std::time::Instant;

fn pod(n: u16, ingress: Option<String>) -> PolicyPod {
    let [high, low] = n.to_be_bytes();
    PolicyPod {
        device: format!("h{n:04x}"),
        address: Ipv4Addr::new(10, 42, high + 1, low),
        ingress,
        egress: None,
    }
}

/// Pods with a profile each, of as many namespaces, as the estate of the Ministry of Justice has them: from one's own
/// namespace, and from the ingress controllers'.
fn estate(pods: u16) -> PolicySnapshot {
    let mut snapshot = PolicySnapshot::default();
    let from = |sets: Vec<String>| ProfileRule::Peers {
        peers: Some(Peers {
            sets,
            ranges: vec![(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 0, 255))],
        }),
        ports: Some(vec![PortRange {
            transport: Transport::Tcp,
            first: 80,
            last: 90,
        }]),
    };
    snapshot
        .sets
        .insert("edge".to_owned(), [Ipv4Addr::new(10, 42, 9, 9)].into());
    for n in 0..pods {
        let name = format!("profile-{n}");
        let pod = pod(n, Some(name.clone()));
        snapshot.sets.insert(format!("own-{n}"), [pod.address].into());
        let rules = vec![from(vec![format!("own-{n}")]), from(vec!["edge".to_owned()])];
        snapshot.profiles.insert(name, Profile { rules });
        snapshot.pods.push(pod);
    }
    snapshot
}

#[test]
fn a_change_is_no_more_than_it_must_be() {
    let before = estate(50);
    let (a, b) = (Content::of(&before), Content::of(&estate(51)));
    assert!(change(&a, &a).is_empty());
    let what = |commands: Vec<Command>| commands.len();
    // A set with its member, a chain with its three rules, two elements.
    assert_eq!(what(change(&a, &b)), 2 + 1 + 5 + 2);
    assert_eq!(what(change(&b, &a)), 2 + 1 + 1);
    // A peer that comes is one element, whoever names the set.
    let mut more = before.clone();
    more.sets
        .get_mut("edge")
        .unwrap()
        .insert(Ipv4Addr::new(10, 42, 9, 10));
    assert_eq!(what(change(&a, &Content::of(&more))), 1);
    // What is allowed is complete before a pod is known, and goes only when it is known no more.
    let position = |commands: &[Command], of: &Command| commands.iter().position(|one| one == of).unwrap();
    let known = &Command::add(KNOWN, &[Key::Device("h0032".to_owned()).into()])[0];
    let up = change(&a, &b);
    assert!(position(&up, &Command::chain("i-profile-50")) < position(&up, known));
}

#[test]
fn the_kernel_takes_it() {
    // A thread of its own, in a network namespace of its own, which goes with it.
    let tried = std::thread::spawn(|| {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return false;
        }
        let mut wall = Wall::build().unwrap();
        let mut gate = Gate::open().unwrap();
        assert!(gate.knows("h0001").unwrap(), "open until there are policies");
        let begun = Instant::now();
        wall.set(&estate(500)).unwrap();
        println!(
            "500 isolated pods with 500 profiles loaded in {:?}",
            begun.elapsed()
        );
        assert!(gate.knows("h0001").unwrap() && !gate.knows("h0fff").unwrap());

        let mut times = Vec::new();
        let mut policies = estate(500);
        for n in 0..20_u8 {
            policies
                .sets
                .get_mut("edge")
                .unwrap()
                .insert(Ipv4Addr::new(10, 42, 10, n));
            let begun = Instant::now();
            wall.set(&policies).unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        println!("a peer more: {:?} (median)", times[10]);
        for size in [499, 501, 0, 3, 500] {
            let begun = Instant::now();
            wall.set(&estate(size)).unwrap();
            println!("to {size} pods: {:?}", begun.elapsed());
        }
        // Somebody took the table away: it is built anew.
        let content = wall.content.clone();
        wall.nft.run(&Command::fresh_table()).unwrap();
        wall.set(&estate(7)).unwrap();
        assert_ne!(content, wall.content);
        assert!(gate.knows("h0006").unwrap() && !gate.knows("h0007").unwrap());
        wall.set(&PolicySnapshot::default()).unwrap();
        assert!(!gate.knows("h0001").unwrap());
        true
    });
    if !tried.join().unwrap() {
        println!("no network namespace to be had: the kernel was not asked");
    }
}
