//! What a stranger sends costs no more than it should: patches, logs, repositories.

use crate::attacked::{Dir, Platform, as_both, as_root, commit, run, until};
use crate::masking::{log, owned, start};
use std::process::Command;
use std::time::Duration;

/// Much output costs little, is whole and in order; a line that never ends is bounded, too.
#[test]
fn the_output_of_a_job_costs_what_it_weighs() {
    as_root(|who| {
        let dir = Dir::new("output");
        let fleet = dir.path().join("fleet");
        let job = "steps:\n- seq 1 1000000; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo fin''ished\n";
        commit(
            &fleet,
            &[("fleet.yaml", "name: output\n"), ("jobs/much.yaml", job)],
        );
        owned(&fleet, who);
        let platform = Platform::start(who, &dir, fleet.to_str().unwrap(), &["--nodes", "1"]);
        let pid = platform.process.0.id();
        let before = cost(pid);
        start(&platform, "much", &[]);
        let log = log(&platform, "much");
        assert!(
            log.out.lines().any(|line| line.ends_with(" finished")),
            "{}",
            log.err
        );
        let spent = cost(pid) - before;
        let mut expected = 1u64;
        for line in log.out.lines() {
            if line.ends_with(&format!(" {expected}")) {
                expected += 1;
            }
        }
        assert_eq!(expected, 1_000_001);
        assert!(log.out.matches('x').count() >= 20_000_000);
        println!("28 MB of output cost {spent:?}");
        // Of a build for debugging; a built one takes a tenth.
        assert!(spent < Duration::from_secs(60), "{spent:?}");
    });
}

/// A few hundred bytes of trees that are ten thousand million files, and bases that double thirty times.
#[test]
fn a_small_repository_stays_small() {
    as_both(|who| {
        let dir = Dir::new("bombs");
        let fleet = dir.path().join("fleet");
        let mut files = vec![
            ("fleet.yaml".to_owned(), "name: bombs\n".to_owned()),
            (
                "environments/trees.yaml".to_owned(),
                "config: ../trees\n".to_owned(),
            ),
            (
                "environments/bases.yaml".to_owned(),
                "config: {repository: ../bases}\n".to_owned(),
            ),
            (
                "environments/good.yaml".to_owned(),
                "config: ../good\n".to_owned(),
            ),
        ];
        commit(
            &fleet,
            &files
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect::<Vec<_>>(),
        );
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: good\n";
        let good = dir.path().join("good");
        commit(
            &good,
            &[
                ("app/kustomization.yaml", "resources: [map.yaml]\n"),
                ("app/map.yaml", map),
            ],
        );
        files = vec![
            (
                "base/0a/kustomization.yaml".to_owned(),
                "resources: [map.yaml]\nnamePrefix: a\n".to_owned(),
            ),
            (
                "base/0b/kustomization.yaml".to_owned(),
                "resources: [../0a]\nnamePrefix: b\n".to_owned(),
            ),
            ("base/0a/map.yaml".to_owned(), map.to_owned()),
            (
                "app/kustomization.yaml".to_owned(),
                "resources: [../base/30a]\n".to_owned(),
            ),
        ];
        for level in 1..=30 {
            for side in ["a", "b"] {
                let below = level - 1;
                let text = format!("resources: [../{below}a, ../{below}b]\nnamePrefix: {side}{level}\n");
                files.push((format!("base/{level}{side}/kustomization.yaml"), text));
            }
        }
        let bases = dir.path().join("bases");
        commit(
            &bases,
            &files
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect::<Vec<_>>(),
        );
        let trees = dir.path().join("trees");
        commit(&trees, &[("a", "b")]);
        let script = r#"
            at=$(printf '100644 blob %s\tx\n' "$(printf x | git hash-object -w --stdin)" | git mktree)
            for level in 1 2 3 4 5 6 7 8 9 10; do
              at=$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\t%s\n' "$at" "$i"; done | git mktree)
            done
            git -c user.name=t -c user.email=t@t update-ref refs/heads/main \
              "$(git -c user.name=t -c user.email=t@t commit-tree "$at" -m bomb)"
        "#;
        let made = run(Command::new("sh").args(["-ec", script]).current_dir(&trees), "");
        assert!(made.ok, "{made:?}");
        for repository in [&fleet, &good, &bases, &trees] {
            owned(repository, who);
        }
        let platform = Platform::start(who, &dir, fleet.to_str().unwrap(), &["--nodes", "1"]);
        until("the good environment", || {
            let said = platform.kubectl(&["-n", "good", "get", "configmaps", "-o", "name"], "");
            said.out.contains("/good").then_some(())
        });
        let said = platform.herder(&["status", "--json"]).out;
        assert!(
            said.contains("files or more, more than the limit of 100000"),
            "{said}"
        );
        assert!(
            said.contains("more than 128 MiB of files, bases and copied values"),
            "{said}"
        );
        let peak = peak(platform.process.0.id());
        println!("at most {} MiB", peak >> 20);
        assert!(peak < 800 << 20, "{} MiB", peak >> 20);
    });
}

/// The processor time of a process and of all below it that have not ended.
fn cost(pid: u32) -> Duration {
    let said = run(Command::new("ps").args(["-e", "-o", "pid=,ppid=,cputimes="]), "");
    let rows: Vec<[u64; 3]> = said
        .out
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(|field| field.parse().ok());
            Some([fields.next()??, fields.next()??, fields.next()??])
        })
        .collect();
    let mut family = vec![u64::from(pid)];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(rows.iter().filter(|row| row[1] == parent).map(|row| row[0]));
        next += 1;
    }
    let seconds = rows
        .iter()
        .filter(|row| family.contains(&row[0]))
        .map(|row| row[2])
        .sum();
    Duration::from_secs(seconds)
}

/// The most memory that a process (or the ordinary user's, behind setpriv the same) had.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
