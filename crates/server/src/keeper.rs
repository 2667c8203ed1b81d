//! Keeps the fleet true: decides when the flow runs, never what it does.
//!
//! Wakes for news from git, for changes in the cluster, for operations, and for the next lease that ends. Waiting is a
//! select over these; nothing is polled but remotes that send no notices.

use crate::flow::{self, PassError};
use crate::reading::Reading;
use crate::state::Shared;
use crate::view::PassView;
use herder_base::AllowedRemote;
use herder_git::Poller;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Changes in the cluster that come together are answered together.
const SETTLE: Duration = Duration::from_millis(150);
/// How soon a pass that failed or was refused something is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// A pass happens at least so often, in case a watch was silent.
const AT_LEAST: Duration = Duration::from_secs(60);

/// Runs the flow whenever there is reason to.
pub(crate) async fn run(shared: Shared, cancel: CancellationToken) -> Result<(), Infallible> {
    let mut changes = shared.cluster.changes();
    // The first pass reads, whoever asked.
    shared.bell.read_again();
    loop {
        let (number, read) = shared.bell.begin();
        if read {
            match flow::read(&shared).await {
                Ok(reading) => shared.unreadable.store(elsewhere(&reading).map(Arc::new)),
                Err(error) => {
                    let reason = herder_base::chain(&error).to_string();
                    // Said once, not at every try.
                    if shared.unreadable.load().as_deref() != Some(&reason) {
                        warn!(%reason, "the fleet repository could not be read; what runs stays as it is");
                    }
                    shared.unreadable.store(Some(Arc::new(reason)));
                }
            }
        }
        let (again, pass) = turn(&shared).await;
        shared.refresh_view(pass).await;
        shared.bell.end(number);
        let next = Instant::now() + again.unwrap_or(AT_LEAST).min(until_next_lease(&shared).await);
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = shared.bell.heard() => {}
            _ = changes.changed() => {
                tokio::time::sleep(SETTLE).await;
                changes.borrow_and_update();
            }
            () = sleep_until(next) => if shared.reading().is_none() {
                shared.bell.read_again();
            },
        }
    }
}

/// One pass with what was read last. Returns when to try again if something was refused, and what was done.
async fn turn(shared: &Shared) -> (Option<Duration>, Option<PassView>) {
    let Some(reading) = shared.reading().filter(|reading| elsewhere(reading).is_none()) else {
        return (Some(RETRY), None);
    };
    let began = Instant::now();
    let pass = async {
        let fleet = shared.with_suspensions(&reading.fleet).await;
        flow::pass(shared, &*fleet.map_err(PassError::Suspensions)?).await
    };
    match pass.await {
        Ok(pass) => {
            let (objects, parts) = (&pass.done.objects, &pass.done.parts);
            let refused = objects.iter().filter(|outcome| outcome.result.is_err()).count()
                + parts.iter().filter(|outcome| outcome.result.is_err()).count();
            let news = !parts.is_empty() || objects.iter().any(|outcome| !outcome.again);
            if !pass.plan.is_empty() && news {
                info!(
                    generation = pass.plan.generation,
                    actions = objects.len() + parts.len(),
                    refused,
                    "a pass wrote"
                );
            }
            let mut view = shared.pass_view(&pass.plan, objects, began.elapsed());
            view.generation = pass.generation;
            let soon = pass.unsettled.then_some(RETRY);
            let again = soon.into_iter().chain(until_retry(shared)).min();
            (again, Some(view))
        }
        Err(PassError::Refused(refused)) => {
            let mut view = shared.pass_view(&refused.plan, &[], began.elapsed());
            view.failures = refused.faults.iter().map(ToString::to_string).collect();
            // Said once for the same plan, and shown for as long as it is so.
            if shared.view().pass.failures != view.failures {
                error!("{refused}: {}", view.failures.join("; "));
            }
            (Some(AT_LEAST), Some(view))
        }
        Err(error) => {
            let reason = herder_base::chain(&error).to_string();
            warn!(error = reason, "nothing was changed");
            let mut view = shared.view().pass.clone();
            view.failures = vec![format!("nothing was changed: {reason}")];
            (Some(RETRY), Some(view))
        }
    }
}

/// How long until something that the cluster refused is tried again.
fn until_retry(shared: &Shared) -> Option<Duration> {
    let now = shared.clock.now();
    let lessons = shared.cluster.lessons();
    let waits = lessons.refusals().map(|(_, refusal)| {
        let left = u64::try_from(refusal.again.duration_since(now).as_millis());
        // What is due and was not tried waits for something else.
        left.ok()
            .filter(|left| *left > 0)
            .map_or(RETRY, |left| Duration::from_millis(left + 20))
    });
    waits.min()
}

/// Why a fleet cannot be made true here: it names another cluster than the embedded one.
fn elsewhere(reading: &Reading) -> Option<String> {
    let kubeconfig = reading.fleet.settings.kubeconfig.as_ref()?;
    Some(format!(
        "fleet.yaml asks for the cluster of {kubeconfig}, and this version runs fleets on its embedded cluster only: nothing is changed"
    ))
}

/// How long until a lease or a suspension ends that holds now.
async fn until_next_lease(shared: &Shared) -> Duration {
    let now = shared.clock.now();
    let leases = match shared.ledger.leases().await {
        Ok(leases) => leases,
        // The pass has said why; it looks again soon, since nothing is known of what is due.
        Err(_) => return RETRY,
    };
    let suspensions = shared.suspensions().await.unwrap_or_default();
    let ends = leases.iter().map(|lease| lease.until);
    let left = ends
        .chain(suspensions.iter().map(|one| one.until))
        .map(|until| until.duration_since(now).as_millis());
    // A lease that has ended was dealt with in the pass just made.
    let left = left
        .filter(|left| *left > 0)
        .min()
        .and_then(|left| u64::try_from(left).ok());
    left.map_or(Duration::MAX, |left| Duration::from_millis(left + 20))
}

/// Watches the fleet's repositories, one question per remote and look.
pub(crate) async fn watch_git(shared: Shared, cancel: CancellationToken) -> Result<(), Infallible> {
    let mut poller = Poller::default();
    let mut tick = tokio::time::interval(shared.options.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        if shared.everything_down.load(Ordering::SeqCst) {
            continue;
        }
        if let Some(reading) = shared.reading() {
            poller.watch(reading.sources.iter().cloned());
        } else {
            let fleet = AllowedRemote::own(shared.options.fleet.clone());
            poller.watch([(fleet, shared.options.branch.clone())]);
        }
        let seen = poller.look(&shared.git).await;
        let read = shared.reading();
        let moved = seen.iter().any(|seen| {
            let Some(commit) = seen.changed() else {
                return false;
            };
            // At the first look there is nothing to compare with but what was read, which may be older already.
            let place = (seen.remote.clone(), seen.reference.clone());
            let known = read.as_ref().and_then(|read| read.commits.get(&place));
            seen.before.is_some() || known.is_some_and(|known| known != commit)
        });
        let fleet = seen
            .iter()
            .find(|seen| *seen.remote.url() == shared.options.fleet);
        let readable = fleet.is_none_or(|seen| seen.commit.is_ok());
        if readable {
            shared.looked.now(shared.clock.now());
        }
        // A fleet that went away is told like one that was never there, and so is its return.
        let back = readable == shared.unreadable.load().is_some();
        if moved || back {
            shared.bell.read_again();
        }
    }
}
