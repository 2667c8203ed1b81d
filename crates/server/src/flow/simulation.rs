//! The flow against an outside that fails: random commits, leases and clock jumps, failures of git, ledger, Vault and
//! cluster, another process that plans as well, and kills between any two steps. After every step what ARCHITECTURE.md
//! promises must hold, and once everything works again the cluster and Vault must be as git says.
//!
//! `HERDER_SEEDS=10000` tries that many; a seed that fails says how it is played again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where it fails, and says which seed found what"
)]

mod random;
mod world;

use super::PassError;
use herder_fleet::Fleet;
use herder_ledger::{Lease, PlanState};
use herder_plan::Part;
use jiff::SignedDuration;
use std::collections::BTreeSet;
use world::{Defect, Git, LEASED, NAMES, PERMANENT, World, fleet, key, label};

/// How many seeds are tried if nothing else is said.
const SEEDS: u64 = 250;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_is_promised_holds_whatever_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let one = number("HERDER_SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("HERDER_SEEDS").unwrap_or(SEEDS),
    };
    let mut sum = Sum::default();
    for seed in seeds {
        let tried = std::panic::AssertUnwindSafe(|| runtime.block_on(play(seed, None, &mut sum)));
        let (violations, story) = std::panic::catch_unwind(tried)
            .unwrap_or_else(|_| (vec!["it panicked".to_owned()], vec!["see above".to_owned()]));
        assert!(
            violations.is_empty(),
            "{}\n\nseed {seed} breaks a promise: {}\nplay it again with\n  HERDER_SEED={seed} cargo test -p herder-server --lib what_is_promised_holds",
            story.join("\n"),
            violations.join("; ")
        );
    }
    // A simulator in which nothing happens finds nothing.
    if one.is_none() {
        assert!(
            sum.passes > 0 && sum.killed > 0 && sum.dropped > 0 && sum.stale > 0 && sum.failed > 0,
            "{sum:?}"
        );
    }
}

/// A simulator that finds nothing proves nothing: each of these is found, by some seed.
#[test]
fn defects_that_are_put_back_are_found() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for defect in [
        Defect::NoLeases,
        Defect::StaleTaken,
        Defect::Unrecorded,
        Defect::OpenForgotten,
        Defect::NothingSilent,
    ] {
        let mut sum = Sum::default();
        let found = (0..1000).find_map(|seed| {
            let (violations, _) = runtime.block_on(play(seed, Some(defect), &mut sum));
            violations.into_iter().next().map(|violation| (seed, violation))
        });
        let (seed, violation) = found.unwrap_or_else(|| panic!("nothing finds {defect:?}"));
        println!("{defect:?}: seed {seed}: {violation}");
    }
}

/// What happened in all.
#[derive(Debug, Default)]
struct Sum {
    passes: u64,
    killed: u64,
    failed: u64,
    stale: u64,
    dropped: u64,
}

async fn play(seed: u64, defect: Option<Defect>, sum: &mut Sum) -> (Vec<String>, Vec<String>) {
    let world = World::new(seed, defect).await;
    let mut git = Git::default();
    for unit in PERMANENT {
        git.units
            .insert(unit, NAMES[..3].iter().map(|name| (*name, 1)).collect());
    }
    *world.fleet.borrow_mut() = fleet(&git);
    let turns = 6 + world.random.borrow_mut().below(14);
    for _ in 0..turns {
        happen(&world, &mut git).await;
        let faults = [0, 0, 3, 10, 40][usize::try_from(world.random.borrow_mut().below(5)).unwrap()];
        world.faults.set(faults);
        // A repository that cannot be fetched leaves the reading before in force.
        if !world.chance(faults) {
            *world.fleet.borrow_mut() = fleet(&git);
        }
        let killed_at = world.steps.get() + 1 + world.random.borrow_mut().below(30);
        world.killed_at.set(world.chance(35).then_some(killed_at));
        pass(&world, sum).await;
        ledger_holds(&world).await;
        if !world.violations.borrow().is_empty() {
            break;
        }
    }
    if world.violations.borrow().is_empty() {
        heal(&world, &mut git, sum).await;
    }
    sum.dropped += rows(&world).await;
    world.ledger.close().await;
    (world.violations.into_inner(), world.story.into_inner())
}

async fn rows(world: &World) -> u64 {
    let plans = world.ledger.plans(300).await.unwrap();
    let dropped = plans.iter().filter(|plan| plan.state == PlanState::Dropped);
    u64::try_from(dropped.count()).unwrap()
}

/// Something changes outside.
async fn happen(world: &World, git: &mut Git) {
    let pick = |end: u64| usize::try_from(world.random.borrow_mut().below(end)).unwrap();
    let all = [PERMANENT, LEASED].concat();
    let (unit, name, version) = (all[pick(4)], NAMES[pick(4)], u64::try_from(pick(5)).unwrap());
    match pick(14) {
        0 | 1 => _ = git.units.entry(unit).or_default().insert(name, version),
        2 => _ = git.units.get_mut(unit).and_then(|maps| maps.remove(name)),
        3 => _ = git.units.remove(unit),
        4 => _ = git.policies.insert(name, version),
        5 => _ = git.policies.remove(name),
        6 => _ = git.roles.insert(name, version),
        7 => _ = git.roles.remove(name),
        8 | 9 => {
            let now = world.clock.get();
            let lease = Lease {
                environment: LEASED[pick(2)].to_owned(),
                by: "ada".to_owned(),
                since: now,
                until: now + SignedDuration::from_mins(i64::try_from(pick(120)).unwrap()),
            };
            world.tell(format!("{} is leased until {}", lease.environment, lease.until));
            world.ledger.put_lease(&lease).await.unwrap();
        }
        10 => _ = world.ledger.end_lease(LEASED[pick(2)]).await.unwrap(),
        11 => {
            // Forth and back.
            let jump = SignedDuration::from_mins(i64::try_from(pick(300)).unwrap() - 120);
            world.clock.set(world.clock.get() + jump);
            world.tell(format!("the clock jumps by {jump}"));
        }
        12 => {
            git.broken = (pick(2) == 0).then_some(unit);
            git.hidden = (pick(3) == 0).then_some(all[pick(4)]);
            git.broken_policies = pick(3) == 0;
        }
        _ if pick(3) == 0 => {
            world.down.set(!world.down.get());
            world.tell(format!("everything down: {}", world.down.get()));
        }
        _ => {
            // Somebody else meddles.
            world.objects.borrow_mut().remove(&key("ConfigMap", unit, name));
            world.vault.borrow_mut().remove(&(Part::Policy, name.to_owned()));
        }
    }
    git.commit += 1;
    world.clock.set(world.clock.get() + SignedDuration::from_secs(7));
    world.tell(format!("git is {git:?}"));
}

async fn pass(world: &World, sum: &mut Sum) {
    let fleet: Fleet = world.fleet.borrow().clone();
    sum.passes += 1;
    tokio::select! {
        biased;
        result = super::pass(world, &fleet) => match result {
            Ok(pass) => world.tell(format!("a pass did {:?}", pass.done)),
            Err(PassError::Record(herder_ledger::Error::Stale { .. })) => sum.stale += 1,
            Err(PassError::Refused(refused)) => world.violate(refused.to_string()),
            Err(error) => {
                sum.failed += 1;
                world.tell(format!("a pass failed: {error}"));
            }
        },
        () = world.killed.notified() => sum.killed += 1,
    }
    world.killed_at.set(None);
}

/// One plan after the other, and only the last one open.
async fn ledger_holds(world: &World) {
    let plans = world.ledger.plans(300).await.unwrap();
    for pair in plans.windows(2) {
        let (later, earlier) = (&pair[0], &pair[1]);
        if earlier.state == PlanState::Open {
            world.violate(format!("plan {} is open, but not the last", earlier.generation));
        }
        let follows = later.generation == earlier.generation + 1 + later.repeats
            && (later.repeats > 0 || later.parent.as_deref() == Some(earlier.id.as_str()));
        if !follows {
            world.violate(format!(
                "plan {} does not follow plan {}: {:?}, {} before, after {}",
                later.generation, earlier.generation, later.parent, later.repeats, earlier.id
            ));
        }
    }
}

/// Everything works again: the flow comes to rest, and all is as git says.
async fn heal(world: &World, git: &mut Git, sum: &mut Sum) {
    world.tell("everything works again".to_owned());
    world.faults.set(0);
    (git.broken, git.hidden, git.broken_policies) = (None, None, false);
    git.commit += 1;
    *world.fleet.borrow_mut() = fleet(git);
    for _ in 0..6 {
        pass(world, sum).await;
    }
    let head = world.ledger.plan_head().await.unwrap().unwrap();
    pass(world, sum).await;
    let after = world.ledger.plan_head().await.unwrap().unwrap();
    // One pass in thirty is beaten by another process.
    let rival = world.ledger.plans(1).await.unwrap()[0].id == "rival";
    if rival {
        return;
    }
    if after.state == PlanState::Open || head.generation != after.generation {
        world.violate(format!("it does not come to rest: {head:?}, then {after:?}"));
    }
    if after.notes.iter().any(|note| note.contains("none of them is")) {
        // Too much at once: it waits for a person.
        return;
    }
    let fleet = world.fleet.borrow().clone();
    let mut wanted = BTreeSet::new();
    for unit in &fleet.units {
        let leases = world.ledger.leases().await.unwrap();
        let leased = leases
            .iter()
            .any(|lease| lease.environment == unit.id && lease.until > world.clock.get());
        if !world.down.get() && (!unit.leased || leased) {
            wanted.extend(unit.objects.iter().map(|object| object.key.clone()));
        }
    }
    let objects = world.objects.borrow();
    for missing in wanted.iter().filter(|key| !objects.contains_key(*key)) {
        world.violate(format!("{missing} is missing at the end"));
    }
    let stateful: BTreeSet<&str> = objects
        .iter()
        .filter(|(_, value)| label(value, herder_fleet::STATE_LABEL).is_some())
        .map(|(key, _)| key.namespace.as_str())
        .collect();
    for (key, value) in objects.iter().filter(|(key, _)| !wanted.contains(*key)) {
        let ours = label(value, herder_fleet::FLEET_LABEL).is_some();
        let kept = label(value, herder_fleet::STATE_LABEL).is_some()
            || (key.gvk.kind == "Namespace" && stateful.contains(key.name.as_str()));
        if ours && !kept {
            world.violate(format!("{key} is left at the end"));
        }
    }
    vault_is_as_git_says(world, &fleet);
}

fn vault_is_as_git_says(world: &World, fleet: &Fleet) {
    let down = world.down.get();
    let policies = fleet.policies.iter();
    let policies = policies.map(|policy| ((Part::Policy, policy.name.clone()), policy.text.clone()));
    let roles = fleet.roles.iter();
    let roles = roles.map(|role| ((Part::Role, role.name.clone()), role.policies.concat()));
    let wanted: std::collections::BTreeMap<_, _> = policies.chain(roles).filter(|_| !down).collect();
    let vault = world.vault.borrow();
    let found: std::collections::BTreeMap<_, _> = vault
        .iter()
        .filter(|(_, found)| found.ours)
        .map(|(at, found)| (at.clone(), found.text.clone()))
        .collect();
    if wanted != found {
        world.violate(format!("Vault holds {found:?} instead of {wanted:?}"));
    }
    if vault.get(&(Part::Policy, "foreign".to_owned())).is_none() {
        world.violate("the foreign policy is gone".to_owned());
    }
}
