//! Against real repositories on disk, through the real git program.
#![allow(clippy::unwrap_used, reason = "tests may")]

use herder_base::{AllowedRemote, Commit};
use herder_git::{Change, Error, Git, Limits, Poller, Signature};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

fn author(second: i64) -> Signature {
    Signature {
        name: "Ada <x>".to_owned(),
        email: "ada@example.org".to_owned(),
        time: jiff::Timestamp::from_second(second).unwrap(),
    }
}

fn put(path: &str, text: &str) -> Change {
    Change {
        path: path.to_owned(),
        content: Some(text.as_bytes().to_vec()),
    }
}

fn own(url: &str) -> AllowedRemote {
    AllowedRemote::own(url.into())
}

fn run(dir: &Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Bench {
    dir: TempDir,
    git: Git,
    url: AllowedRemote,
}

async fn bench() -> Bench {
    let dir = TempDir::new().unwrap();
    let git = Git::new(dir.path().join("cache"));
    let remote = dir.path().join("shop.git");
    git.init_bare(&remote).await.unwrap();
    git.init_bare(&remote).await.unwrap();
    Bench {
        git,
        url: own(&remote.display().to_string()),
        dir,
    }
}

#[tokio::test]
async fn commits_are_read_back_and_conflicts_refused() {
    let Bench { dir, git, url } = bench().await;
    assert!(matches!(git.fetch(&url, "").await, Err(Error::Empty { .. })));

    let none = Commit::default();
    let changes = [put("a/b.txt", "one"), put("c.txt", "two")];
    let first = git
        .commit(&url, "main", &none, &changes, "First\n\nWhy", &author(1))
        .await
        .unwrap();
    let tree = git.fetch(&url, "main").await.unwrap();
    assert_eq!(tree.commit(), &first);
    assert_eq!((tree.len(), tree.text("a/b.txt")), (2, Some("one")));

    let info = git.describe(&url, &first).await.unwrap();
    assert_eq!(
        (info.author.as_str(), info.subject.as_str(), info.time.as_second()),
        ("Ada x", "First", 1)
    );

    let remove = Change {
        path: "./c.txt".to_owned(),
        content: None,
    };
    let second = git
        .commit(&url, "main", &first, &[remove], "Second", &author(2))
        .await
        .unwrap();
    let tree = git.fetch(&url, "").await.unwrap();
    assert_eq!((tree.commit(), tree.len()), (&second, 1));

    // The branch has moved, also for somebody whose cache knows nothing of it.
    let other = Git::new(dir.path().join("other"));
    let late = other
        .commit(&url, "main", &first, &[put("x", "y")], "Late", &author(3))
        .await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    let again = other
        .commit(&url, "main", &none, &[put("x", "y")], "Again", &author(3))
        .await;
    assert!(matches!(again, Err(Error::Conflict { .. })), "{again:?}");
    assert_eq!(git.fetch(&url, "").await.unwrap().commit(), &second);

    assert_eq!(git.default_branch(&url).await.unwrap(), "main");
    // What changes nothing pushes nothing.
    let same = git
        .commit(&url, "", &second, &[put("a/b.txt", "one")], "Same", &author(4))
        .await
        .unwrap();
    assert_eq!(same, second);

    let escape = git
        .commit(&url, "main", &second, &[put("../x", "y")], "Bad", &author(4))
        .await;
    assert!(matches!(escape, Err(Error::Path(_))));
    let hidden = git
        .commit(
            &url,
            "main",
            &second,
            &[put(".git/hooks/x", "y")],
            "Bad",
            &author(4),
        )
        .await;
    assert!(hidden.is_err());
}

#[tokio::test]
async fn branches_tags_and_commits_are_found_by_name() {
    let Bench { dir, git, url } = bench().await;
    let work = dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    run(&work, &["init", "-q", "-b", "main"]);
    std::fs::write(work.join("run.sh"), "#!/bin/sh\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(work.join("run.sh"), executable).unwrap();
    std::os::unix::fs::symlink("run.sh", work.join("link")).unwrap();
    run(&work, &["add", "."]);
    run(&work, &["commit", "-q", "-m", "One"]);
    let one = run(&work, &["rev-parse", "HEAD"]);
    run(&work, &["tag", "-a", "v1.0", "-m", "Release"]);
    std::fs::write(work.join("more"), "x").unwrap();
    run(&work, &["add", "."]);
    run(&work, &["commit", "-q", "-m", "Two"]);
    run(&work, &["commit", "-q", "--allow-empty", "-m", "Three"]);
    run(
        &work,
        &[
            "push",
            "-q",
            url.url().expose(),
            "main:main",
            "main:release/2",
            "v1.0",
        ],
    );

    let tree = git.fetch(&url, "v1.0").await.unwrap();
    assert_eq!(tree.commit().as_str(), one);
    assert!(tree.file("run.sh").unwrap().executable && tree.file("link").unwrap().symlink);
    assert_eq!(git.fetch(&url, "release/2").await.unwrap().len(), 3);
    assert_eq!(git.fetch(&url, &one).await.unwrap().commit().as_str(), one);
    // A short id that is no tip needs the history; a fresh cache has none.
    let two = run(&work, &["rev-parse", "HEAD^"]);
    let fresh = Git::new(dir.path().join("fresh"));
    fresh.fetch(&url, "main").await.unwrap();
    assert_eq!(fresh.fetch(&url, &two[..9]).await.unwrap().commit().as_str(), two);

    let refs = git.ls_remote(&url, &[]).await.unwrap();
    assert_eq!(refs["refs/tags/v1.0"].as_str(), one);
    assert_eq!(refs.len(), 4);

    // The executable bit survives a change of content.
    let head = git.fetch(&url, "main").await.unwrap().commit().clone();
    git.commit(
        &url,
        "main",
        &head,
        &[put("run.sh", "#!/bin/sh\ntrue\n")],
        "Run",
        &author(5),
    )
    .await
    .unwrap();
    assert!(
        git.fetch(&url, "main")
            .await
            .unwrap()
            .file("run.sh")
            .unwrap()
            .executable
    );

    let long = format!("deep/{}/file", "x".repeat(120));
    let head = git.fetch(&url, "main").await.unwrap().commit().clone();
    git.commit(&url, "main", &head, &[put(&long, "long")], "Long", &author(6))
        .await
        .unwrap();
    // The machine's tar takes it for what the commit holds.
    let mut archive = git.archive(&url, "main").await.unwrap();
    let mut tar = Vec::new();
    while let Some(portion) = archive.next().await.unwrap() {
        tar.extend(portion);
    }
    let (file, out) = (dir.path().join("x.tar"), dir.path().join("out"));
    std::fs::write(&file, tar).unwrap();
    std::fs::create_dir(&out).unwrap();
    let untarred = std::process::Command::new("tar")
        .arg("-xf")
        .arg(&file)
        .current_dir(&out)
        .output()
        .unwrap();
    assert!(
        untarred.status.success() && untarred.stderr.is_empty(),
        "{untarred:?}"
    );
    assert_eq!(std::fs::read_to_string(out.join(&long)).unwrap(), "long");
    assert_eq!(
        std::fs::read_to_string(out.join("link")).unwrap(),
        "#!/bin/sh\ntrue\n"
    );
    let mode = std::fs::metadata(out.join("run.sh")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o755);

    let Err(Error::NoReference { near, .. }) = git.fetch(&url, "maim").await else {
        panic!("a branch that is not there was found");
    };
    assert_eq!(near.as_deref(), Some("main"));
    let message = git
        .fetch(&own("/nowhere/x.git"), "main")
        .await
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("cannot read /nowhere/x.git: "), "{message}");
    for bad in ["ext::sh -c true", "--upload-pack=x", "x.git"] {
        assert!(
            matches!(git.fetch(&own(bad), "main").await, Err(Error::Address { .. })),
            "{bad}"
        );
    }
    assert!(matches!(git.fetch(&url, "--all").await, Err(Error::Name { .. })));
}

#[tokio::test]
async fn watchers_of_one_remote_share_one_question() {
    let Bench { dir: _dir, git, url } = bench().await;
    let first = git
        .commit(
            &url,
            "main",
            &Commit::default(),
            &[put("a", "1")],
            "A",
            &author(1),
        )
        .await
        .unwrap();
    let mut poller = Poller::default();
    let pair = |reference: &str| (url.clone(), reference.to_owned());
    poller.watch([
        pair(""),
        pair("main"),
        pair("none"),
        (own("/nowhere"), "main".to_owned()),
    ]);
    assert_eq!(poller.remotes().count(), 2);
    let seen = poller.look(&git).await;
    assert_eq!(seen.len(), 4);
    assert_eq!(
        seen.iter().filter(|seen| seen.changed() == Some(&first)).count(),
        2
    );
    assert_eq!(seen.iter().filter(|seen| seen.commit.is_err()).count(), 1);
    assert_eq!(
        poller
            .look(&git)
            .await
            .iter()
            .filter(|seen| seen.changed().is_some())
            .count(),
        0
    );
    let second = git
        .commit(&url, "main", &first, &[put("a", "2")], "B", &author(2))
        .await
        .unwrap();
    let seen = poller.look_at(&git, std::slice::from_ref(&url)).await;
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].changed(), Some(&second));
    assert_eq!(seen[0].before, Some(first));
}

#[tokio::test]
async fn limits_and_cancellation() {
    let Bench { dir, git, url } = bench().await;
    let first = git
        .commit(
            &url,
            "main",
            &Commit::default(),
            &[put("a", "1"), put("b", "22")],
            "A",
            &author(1),
        )
        .await
        .unwrap();
    for limits in [
        Limits {
            files: 1,
            ..Limits::default()
        },
        Limits {
            bytes: 2,
            ..Limits::default()
        },
    ] {
        let small = Git::with_limits(dir.path().join("small"), limits);
        assert!(matches!(
            small.fetch(&url, "main").await,
            Err(Error::TooLarge { .. })
        ));
    }
    let hurried = Git::with_limits(
        dir.path().join("hurried"),
        Limits {
            ask: Duration::ZERO,
            ..Limits::default()
        },
    );
    assert!(matches!(
        hurried.fetch(&url, "main").await,
        Err(Error::Deadline { .. })
    ));
    // A call that is given up leaves the cache usable.
    for _ in 0..20 {
        let fetch = git.fetch(&url, "main");
        tokio::select! { biased; _ = tokio::task::yield_now() => {}, _ = fetch => {} }
    }
    assert_eq!(git.fetch(&url, "main").await.unwrap().commit(), &first);
}

#[tokio::test]
async fn many_files_and_many_callers() {
    let Bench { dir: _dir, git, url } = bench().await;
    let changes: Vec<Change> = (0..200)
        .map(|i| put(&format!("d{}/f{i}.yaml", i % 20), &format!("n: {i}\n")))
        .collect();
    let first = git
        .commit(&url, "main", &Commit::default(), &changes, "Many", &author(1))
        .await
        .unwrap();
    let trees = futures::future::join_all((0..8).map(|_| git.fetch(&url, "main"))).await;
    for tree in trees {
        let tree = tree.unwrap();
        assert_eq!((tree.len(), tree.commit()), (200, &first));
    }
}

/// Ten entries that are ten entries that are …: a few hundred bytes in a pack.
#[tokio::test]
async fn bombs_are_bounded() {
    let Bench { dir, git, url } = bench().await;
    let work = dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    run(&work, &["init", "-q", "-b", "main"]);
    let script = r#"
        blob=$(head -c 40000000 /dev/zero | git hash-object -w --stdin)
        printf '100644 blob %s\tzeros\n' "$blob" | git mktree > ../big
        at=$(printf '100644 blob %s\tx\n' "$(printf x | git hash-object -w --stdin)" | git mktree)
        for level in 1 2 3 4 5 6 7 8 9; do
          at=$(for i in 0 1 2 3 4 5 6 7 8 9; do printf '040000 tree %s\t%s\n' "$at" "$i"; done | git mktree)
        done
        export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t
        git branch bomb "$(git commit-tree "$at" -m bomb)"
        git branch big "$(git commit-tree "$(cat ../big)" -m big)"
        git push -q "$0" bomb big
    "#;
    let made = std::process::Command::new("sh")
        .args(["-ec", script, url.url().expose()])
        .current_dir(&work)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bomb = git.fetch(&url, "bomb").await.unwrap_err();
    assert!(matches!(bomb, Error::TooLarge { limit: 100_000, .. }), "{bomb}");
    assert!(git.archive(&url, "bomb").await.is_err());
    let big = git.fetch(&url, "big").await.unwrap_err().to_string();
    assert!(
        big.contains("zeros has 40000000 bytes, more than the limit of 33554432"),
        "{big}"
    );
    let narrow = Git::with_limits(
        dir.path().join("narrow"),
        Limits {
            pack: 1024,
            ..Limits::default()
        },
    );
    let refused = narrow.fetch(&url, "big").await.unwrap_err().to_string();
    assert!(refused.contains("larger than what is fetched"), "{refused}");
}

#[tokio::test]
async fn a_paths_history_is_the_commits_that_changed_it() {
    let bench = bench().await;
    let none = Commit::new("");
    let first = bench
        .git
        .commit(
            &bench.url,
            "main",
            &none,
            &[put("a", "1"), put("b", "1")],
            "One",
            &author(1),
        )
        .await;
    let first = first.unwrap();
    let second = bench
        .git
        .commit(&bench.url, "main", &first, &[put("b", "2")], "Two", &author(2))
        .await
        .unwrap();
    let third = bench
        .git
        .commit(&bench.url, "main", &second, &[put("a", "2")], "Three", &author(3))
        .await
        .unwrap();
    // Another cache has none of it, and then only the last commit.
    let fresh = Git::new(bench.dir.path().join("fresh"));
    fresh.fetch(&bench.url, "main").await.unwrap();
    let history = fresh.history(&bench.url, "main", "a", 10).await.unwrap();
    let told: Vec<(&str, &Commit)> = history
        .iter()
        .map(|info| (info.subject.as_str(), &info.commit))
        .collect();
    assert_eq!(told, [("Three", &third), ("One", &first)]);
    assert_eq!(history[0].time.as_second(), 3);
    assert_eq!(fresh.history(&bench.url, "", "a", 1).await.unwrap().len(), 1);
    assert!(fresh.history(&bench.url, "main", "../a", 10).await.is_err());
    assert!(
        fresh
            .history(&bench.url, "main", ":(glob)**", 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        fresh.fetch(&bench.url, first.as_str()).await.unwrap().text("a"),
        Some("1")
    );
}
