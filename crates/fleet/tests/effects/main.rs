//! What may be written has an effect, or is refused: every field of every kind of file is tried. A field that nothing acts
//! on has no place in the format.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod rows;

use herder_base::{Commit, Diagnostic, Tree, TreeBuilder};
use herder_fleet::format::{Field, KINDS, Type};
use herder_fleet::{Fleet, Inputs, SourceRef, read};
use rows::{BASE, RETIRED, ROWS, WITHOUT};
use std::collections::{BTreeMap, BTreeSet};

fn run(path: &str, text: &str) -> (Fleet, Vec<Diagnostic>) {
    let mut tree = TreeBuilder::default();
    for (known, text) in BASE
        .iter()
        .filter(|(known, _)| *known != path)
        .chain(&[(path, text)])
    {
        tree.insert(known, text.as_bytes().to_vec()).unwrap();
    }
    let mut inputs = Inputs {
        fleet_url: "/git/fleet.git".into(),
        root: tree.build(Commit::new("f".repeat(40))),
        ..Inputs::default()
    };
    for (branch, name) in [("", "c"), ("x", "d")] {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let files = [
            ("shop/kustomization.yaml", "resources: [a.yaml]\n"),
            ("shop/a.yaml", text.as_str()),
        ];
        let tree = Tree::from_texts(files).unwrap();
        inputs
            .trees
            .insert(SourceRef::new("/git/config.git", branch), Ok(tree));
    }
    let (fleet, found) = read(&inputs);
    (fleet, found)
}

fn names(prefix: &str, fields: &[Field], out: &mut BTreeSet<String>) {
    for field in fields {
        let name = format!("{prefix}.{}", field.name);
        out.insert(name.clone());
        inner(&name, &field.is, out);
    }
}

fn inner(name: &str, is: &Type, out: &mut BTreeSet<String>) {
    match is {
        Type::Object(fields) => names(name, fields, out),
        Type::List(element) => inner(&format!("{name}[]"), element, out),
        Type::Map(element) => inner(&format!("{name}.*"), element, out),
        Type::Either(types) => types.iter().for_each(|is| inner(name, is, out)),
        _ => {}
    }
}

#[test]
fn every_field_has_an_effect_or_is_refused() {
    let mut documented = BTreeSet::new();
    for kind in KINDS {
        names(kind.name, kind.fields, &mut documented);
    }
    let tried: BTreeSet<String> = ROWS.iter().map(|(field, ..)| (*field).to_owned()).collect();
    let untried: Vec<_> = documented.difference(&tried).collect();
    assert!(
        untried.is_empty(),
        "documented, but nobody shows what they do: {untried:#?}"
    );
    let gone: Vec<_> = tried
        .difference(&documented)
        .filter(|field| !field.ends_with(".*"))
        .collect();
    assert!(gone.is_empty(), "tried, but not documented: {gone:#?}");

    let without: BTreeMap<&str, &str> = WITHOUT.iter().copied().collect();
    let mut idle = Vec::new();
    for (field, path, text) in ROWS {
        let base = BASE.iter().find(|(known, _)| known == path);
        let base = base.map_or("", |(_, text)| text);
        let (before, _) = run(path, without.get(field).copied().unwrap_or(base));
        let (after, found) = run(path, text);
        let refused = found.iter().any(|found| {
            found.severity == herder_base::Severity::Error
                && found.at.as_ref().is_some_and(|at| at.path == *path)
        });
        let same = before == after;
        // Only what is the same in everything but places is idle.
        if same && !refused {
            idle.push((field, found.iter().map(ToString::to_string).collect::<Vec<_>>()));
        }
    }
    assert!(idle.is_empty(), "read, and nothing comes of them: {idle:#?}");
}

#[test]
fn what_has_no_effect_is_told() {
    for (path, text) in RETIRED {
        let (fleet, found) = run(path, text);
        let told = found.iter().find(|found| found.code == "no-effect");
        let told = told.unwrap_or_else(|| panic!("{path} {text}: {found:?}"));
        assert_eq!(told.at.as_ref().unwrap().path, *path);
        // A job that would run elsewhere than it says does not run; the others are only told.
        assert_eq!(fleet.job("a").is_none(), *path == "jobs/a.yaml", "{path} {text}");
        assert!(
            fleet.teams.iter().any(|team| team.name == "retail"),
            "{path} {text}"
        );
    }
    // The one image that there is may be named.
    let (fleet, _) = run("jobs/a.yaml", "steps: [make]\nimage: host\n");
    assert!(fleet.job("a").is_some());
}

/// What is read of jobs that start each other.
#[test]
fn jobs_name_each_other() {
    let (fleet, found) = run(
        "jobs/f/c.groovy",
        "job('f/c') {\n  publishers { downstream('d, ../a, b', 'FAILURE') }\n}\njob('f/d') { steps { shell('x') } }\njob('g') {\n\n}\n",
    );
    let job = fleet.job("f/c").unwrap();
    let next: Vec<&str> = job.downstream.iter().map(|next| next.job.as_str()).collect();
    assert_eq!(next, ["f/d", "a", "b"]);
    assert_eq!(job.downstream[0].when, herder_job::When::Completed);
    assert_eq!(job.at.line, 1);
    // Nothing to do is said at its line, and the job is kept with the reason.
    let empty = found.iter().find(|found| found.code == "no-steps").unwrap();
    assert_eq!(empty.at.as_ref().unwrap().line, 5);
    assert_eq!(
        fleet.job("g").unwrap().refused,
        ["jobs/f/c.groovy:5:1: has no step and starts no other job: a run of it would do nothing"]
    );
    let (fleet, found) = run("jobs/a.yaml", "steps: [make]\ndownstream: [bb]\n");
    assert!(!fleet.job("a").unwrap().refused.is_empty());
    let missing = found
        .iter()
        .find(|found| found.code == "missing-reference")
        .unwrap();
    assert_eq!(missing.hint.as_deref(), Some("did you mean `b`?"));
}

/// A seed repository that was put below `jobs/` finds its own files, and knows who reads it.
#[test]
fn a_seed_repository_finds_its_files() {
    let tree = Tree::from_texts([
        ("fleet.yaml", ""),
        ("jobs/scripts/build.sh", "make it"),
        (
            "jobs/src/main/groovy/Names.groovy",
            "class Names { static String of(x) { \"made-${x}\" } }",
        ),
        (
            "jobs/seed.groovy",
            "job(Names.of(SEED_JOB.name)) { steps { shell(readFileFromWorkspace('scripts/build.sh')) } }",
        ),
        (
            "jobs/wrong.groovy",
            "job('x') { description(SEED_JOB.lastBuild.number) }",
        ),
    ]);
    let inputs = Inputs {
        fleet_url: "/git/fleet.git".into(),
        root: tree.unwrap(),
        ..Inputs::default()
    };
    let (fleet, found) = read(&inputs);
    let job = fleet
        .job("made-update-jobs")
        .unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(job.steps, [herder_job::Step::shell("make it")]);
    let wrong = found
        .iter()
        .find(|found| found.message.contains("SEED_JOB has no `lastBuild`"));
    assert_eq!(wrong.unwrap().at.as_ref().unwrap().path, "jobs/wrong.groovy");
}

/// A developer environment is brought up by a job that does not run in it.
#[test]
fn rights_are_for_the_jobs_own() {
    use herder_job::{Scope, Target};
    let (fleet, _) = run(
        "jobs/a.yaml",
        "steps: [make]\nenvironment: dev\nmay: [env, run]\n",
    );
    let job = fleet.job("a").unwrap();
    assert_eq!(job.target, Target::None);
    assert_eq!(job.may.env, Some(Scope::These(vec!["dev".to_owned()])));
    assert_eq!(job.may.run, Some(Scope::Own));
    let (fleet, _) = run(
        "jobs/a.yaml",
        "steps: [make]\nenvironment: testing\nmay: [promote]\n",
    );
    let job = fleet.job("a").unwrap();
    assert_eq!(
        (&job.target, &job.may.promote),
        (&Target::Fixed("testing".to_owned()), &Some(Scope::Own))
    );
    let (_, found) = run("jobs/a.yaml", "steps: [make]\nmay: [everything]\n");
    assert!(
        found
            .iter()
            .any(|found| found.message.contains("none of env, promote, run"))
    );
}
