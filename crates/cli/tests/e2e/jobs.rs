//! Jobs from the file that says them to the pod that runs them: what they check out, start, keep and may do.

use crate::running::{Dir, HERDER, Up, alone, commit, git, repository, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const BUILD: &str = "\
source: {repository: ../app, submodules: true}
parameters: [{name: WHO, choices: [nobody, ada], default: ada}]
steps:
- name: look around
  shell: |
    git log --oneline | wc -l
    echo \"described as $(git describe --tags --dirty)\"
    echo \"on $(git rev-parse --abbrev-ref HEAD), clean: [$(git status --porcelain)]\"
    echo \"branches $(git branch -r --format='%(refname:short)' | tr '\\n' ' ')\"
    echo \"submodule $(cat third/lib/lib.txt) at $(git -C third/lib log --format=%s)\"
    echo \"secret $HERDER_TOKEN\"
- shell: mkdir -p out/deep && echo made > out/deep/a.txt && ln -s /etc/passwd out/passwd.txt
artefacts: ['out/**/*.txt']
downstream:
- {job: after, parameters: {FROM: \"$JOB_NAME of $WHO\"}}
- {job: failed, when: failure}
";

const MORNING: &str = "\
description: Brings the developers' environments up
triggers: {cron: \"TZ=Europe/Berlin\\n0 7 * * 1-5\"}
may: {env: 'dev-*', run: after}
steps:
- herder env up dev-a --lease 1h
- herder status --json
- herder job run after FROM=morning --follow
- |
  for refused in 'env up other' 'env down permanent' 'promote shop --to permanent' 'job run build' 'logs a -n permanent' 'down --everything' 'audit export'; do
    if herder $refused > said 2>&1; then echo \"allowed: $refused\"; exit 1; fi
    sed \"s/^/$refused: /\" said
  done
";

const POWERLESS: &str = "\
steps:
- |
  if herder env up dev-a > said 2>&1; then exit 1; fi
  cat said
";

const SCRIPT: &str = "\
pipelineJob('pipe') {
  definition { cps { script('node { sh \"true\" }') } }
}

matrixJob('matrix') {
  axes { text('COLOUR', 'red', 'blue'); text('SIZE', 's', 'l') }
  steps { shell('echo \"$COLOUR-$SIZE\"') }
}

job('groovy') {
  steps { shell('echo groovy made > kept.txt') }
  publishers {
    archiveArtifacts('kept.txt')
    downstreamParameterized { trigger('after') { parameters { predefinedProp('FROM', 'groovy') } } }
  }
}
";

fn herder(up: &Up, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(HERDER);
    let output = run(
        command.args(args).arg("--dir").arg(up.dir()),
        Duration::from_secs(120),
    );
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// The log of a run of a job that is expected to end well.
fn ran(up: &Up, args: &[&str]) -> String {
    let (good, log) = herder(up, &[&["job", "run", "--follow"], args].concat());
    assert!(good, "{args:?}: {log}");
    log
}

fn repositories(dir: &Path) {
    repository(&dir.join("lib"), &[("lib.txt", "of the library")]);
    let app = dir.join("app");
    repository(&app, &[("a.txt", "1")]);
    commit(&app, &[("a.txt", "2")], "Second commit");
    let lib = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(dir.join("lib"))
        .output()
        .unwrap();
    let link = format!(
        "160000,{},third/lib",
        String::from_utf8(lib.stdout).unwrap().trim()
    );
    std::fs::write(
        app.join(".gitmodules"),
        "[submodule \"lib\"]\n\tpath = third/lib\n\turl = ../lib\n",
    )
    .unwrap();
    git(&app, &["add", ".gitmodules"]);
    git(&app, &["update-index", "--add", "--cacheinfo", &link]);
    git(
        &app,
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "commit",
            "-q",
            "-m",
            "With the library",
        ],
    );
    git(&app, &["tag", "v1"]);
    git(&app, &["branch", "side", "HEAD~1"]);
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let kustomization = "resources: [a.yaml]\n";
    let developer = "kind: developer\nconfig: {path: configs/dev}\n";
    let fleet = format!(
        "name: jobs\nremotes: {{allow: ['{}']}}\n",
        dir.join("lib").display()
    );
    repository(
        &dir.join("fleet"),
        &[
            ("fleet.yaml", fleet.as_str()),
            ("configs/dev/shop/kustomization.yaml", kustomization),
            ("configs/dev/shop/a.yaml", config_map),
            ("environments/dev-a.yaml", developer),
            ("environments/other.yaml", developer),
            ("environments/permanent.yaml", "config: {path: configs/dev}\n"),
            ("jobs/build.yaml", BUILD),
            (
                "jobs/after.yaml",
                "parameters: [{name: FROM}]\nsteps: ['echo \"after $FROM\"']\n",
            ),
            ("jobs/failed.yaml", "steps: ['true']\n"),
            ("jobs/morning.yaml", MORNING),
            ("jobs/powerless.yaml", POWERLESS),
            ("jobs/seed.groovy", SCRIPT),
        ],
    );
}

#[test]
fn jobs_from_reader_to_runner() {
    let _alone = alone();
    let dir = Dir::new("jobs");
    let at = dir.path();
    repositories(at);
    let data = at.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let fleet = at.join("fleet");
    let mut up = Up::start(fleet.to_str().unwrap(), &data, &["--nodes", "1"]);
    let jobs = |up: &Up| -> Value {
        serde_json::from_str(&up.herder(&["job", "list", "--json"])).unwrap_or_default()
    };
    let find = |all: &Value, name: &str| {
        all.as_array()
            .into_iter()
            .flatten()
            .find(|job| job["name"] == name)
            .cloned()
    };
    up.until("the jobs of the first commit", |up| find(&jobs(up), "build"));

    // A real repository, shallow, with tags, branches and submodules; the run's own token is hidden.
    let log = ran(&up, &["build"]);
    for line in [
        "[step 1] look around",
        " 1\n",
        "described as v1\n",
        "on main, clean: []",
        "branches origin/main origin/side",
        "submodule of the library at First commit",
        "secret ********",
        "out/deep/a.txt (5 bytes)",
    ] {
        assert!(log.contains(line), "no `{line}` in\n{log}");
    }
    // What it keeps is a file and not where a link leads.
    let kept: Value =
        serde_json::from_str(&up.herder(&["job", "artefacts", "build", "1", "--json"])).unwrap();
    assert_eq!(kept, serde_json::json!([{"path": "out/deep/a.txt", "size": 5}]));
    assert_eq!(
        up.herder(&["job", "artefacts", "build", "--cat", "out/deep/a.txt"]),
        "made\n"
    );
    let (good, said) = herder(&up, &["job", "artefacts", "build", "--cat", "../../1.log"]);
    assert!(!good && said.contains("is no path of an artefact"), "{said}");
    herder(
        &up,
        &[
            "job",
            "artefacts",
            "build",
            "--output",
            at.join("kept").to_str().unwrap(),
        ],
    );
    assert_eq!(
        std::fs::read_to_string(at.join("kept/out/deep/a.txt")).unwrap(),
        "made\n"
    );
    // What follows a success, and nothing else, with what it is given.
    up.until("the run after it", |up| {
        up.herder(&["job", "log", "after", "1"])
            .contains("after build of ada")
            .then_some(())
    });
    assert!(!up.herder(&["job", "runs", "failed"]).contains("#1"));

    // Of Job DSL the same.
    let log = ran(&up, &["groovy"]);
    assert!(log.contains("kept.txt (12 bytes)"), "{log}");
    up.until("the run after the script's job", |up| {
        up.herder(&["job", "log", "after", "2"])
            .contains("after groovy")
            .then_some(())
    });
    let log = ran(&up, &["matrix"]);
    for combination in ["red-s", "red-l", "blue-s", "blue-l"] {
        assert!(log.contains(combination), "{log}");
    }
    assert!(log.contains("COLOUR=red,SIZE=l: echo"), "{log}");

    // What cannot be run is refused before, with its line, wherever one looks.
    let (good, said) = herder(&up, &["job", "run", "pipe"]);
    assert!(
        !good && said.contains("jobs/seed.groovy:1") && said.contains("pipelines are not run"),
        "{said}"
    );
    let status = up.status();
    let told = status["diagnostics"].as_array().unwrap();
    assert!(
        told.iter().any(|found| found["code"] == "refused"
            && found["at"].as_str().unwrap().starts_with("jobs/seed.groovy:1")),
        "{told:?}"
    );
    assert_eq!(find(&jobs(&up), "pipe").unwrap()["last"], Value::Null);
    let (good, said) = herder(&up, &["job", "run", "build", "WHO=mars"]);
    assert!(!good && said.contains("choose one of nobody, ada"), "{said}");

    // A job does what its file says that it may, and nothing more.
    let log = ran(&up, &["morning"]);
    for line in [
        "dev-a is up until",
        "after morning",
        "env up other: error: morning #1 may not bring `other` up or down: it is not the job's own",
        "env down permanent: error: morning #1 may not bring `permanent` up or down",
        "promote shop --to permanent: error: morning #1 may not promote to `permanent`: its job does not say that it may",
        "job run build: error: morning #1 may not start the job `build`",
        "logs a -n permanent: error: morning #1 may not see `permanent`",
        "down --everything: error: the token of morning #1 does not open /api/v1/down",
        "audit export: error: the token of morning #1 does not open /api/v1/audit",
    ] {
        assert!(log.contains(line), "no `{line}` in\n{log}");
    }
    assert!(
        !log.contains("\"permanent\""),
        "what is not the job's own is not shown:\n{log}"
    );
    let environments = up.status()["environments"].clone();
    let dev = environments
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "dev-a")
        .unwrap();
    assert_eq!(
        (&dev["up"], &dev["by"]),
        (&Value::Bool(true), &Value::from("run morning #1"))
    );
    let log = ran(&up, &["powerless"]);
    assert!(
        log.contains("may not bring `dev-a` up or down: its job does not say that it may"),
        "{log}"
    );
    assert!(log.contains("may: [env]"), "{log}");
    let next = find(&jobs(&up), "morning").unwrap()["next"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        next.contains("T05:00:00Z") || next.contains("T06:00:00Z"),
        "seven in Berlin is {next}"
    );

    // A commit is the seed run: jobs come and go with the pass that reads it.
    std::fs::remove_file(fleet.join("jobs/failed.yaml")).unwrap();
    commit(
        &fleet,
        &[
            ("jobs/new.yaml", "steps: ['true']\n"),
            ("jobs/empty.yaml", "{}\n"),
        ],
        "Other jobs",
    );
    up.until("the jobs of the commit", |up| {
        let all = jobs(up);
        (find(&all, "new").is_some() && find(&all, "build").is_some()).then_some(())
    });
    let runs = up.herder(&["job", "runs", "update-jobs"]);
    assert!(runs.contains("of the fleet repository was read"), "{runs}");
    let (good, said) = herder(&up, &["job", "run", "empty"]);
    assert!(
        !good && said.contains("jobs/empty.yaml:1") && said.contains("has no step"),
        "{said}"
    );
    // `build` would start a job that is not there any more.
    let (good, said) = herder(&up, &["job", "run", "build"]);
    assert!(
        !good && said.contains("starts `failed`, and there is no such job"),
        "{said}"
    );
}

/// A merge check fails for a job that would not run, with its line, and not for one that was there before.
#[test]
fn a_plan_says_what_would_not_run() {
    let dir = Dir::new("jobs-plan");
    let at = dir.path();
    std::fs::create_dir_all(at.join("jobs")).unwrap();
    let script = "job('good') { steps { shell('true') } }\n\npipelineJob('pipe') { definition { cps { script('x') } } }\n";
    std::fs::write(at.join("jobs/a.groovy"), script).unwrap();
    let plan = |more: &[&str]| {
        let mut command = Command::new(HERDER);
        let output = run(
            command.args(["jobs", "plan", "jobs"]).args(more).current_dir(at),
            Duration::from_secs(60),
        );
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = plan(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("a.groovy:3:1: error[refused]: `pipelineJob` is a Jenkins pipeline"),
        "{said}"
    );
    assert!(said.contains("+ good"), "{said}");
    let (code, said) = plan(&["--json"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"code\": \"refused\""), "{said}");
    let (code, said) = plan(&["--against", "known", "--apply"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = plan(&["--against", "known"]);
    assert_eq!(code, Some(0), "{said}");
}
