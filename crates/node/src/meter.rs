//! What containers take of processor and memory, for `kubectl top`: by their control groups, or, where there are none, by
//! their processes.

use super::machine::Machine;
use super::visit::Visited;
use crate::doors::Usage;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(15);
/// The shortest time that says something about a rate.
const SHORTEST: Duration = Duration::from_secs(1);

/// A look at a container: when, and nanoseconds of processor so far.
type Look = (Instant, u64);

/// Earlier looks, by the container's id.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<HashMap<String, Look>>);

/// Looks again and again. Never returns.
pub(crate) async fn run(machine: Arc<Machine>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let looks = machine.visited().into_iter().filter_map(|(_, _, visited)| {
            let (processor, _) = look(&visited)?;
            Some((visited.inside.id.clone(), (Instant::now(), processor)))
        });
        let looks: HashMap<String, Look> = looks.collect();
        *machine.meter.0.lock().unwrap_or_else(PoisonError::into_inner) = looks;
    }
}

/// What all containers of this node take now.
pub(crate) fn usage(machine: &Machine) -> Vec<Usage> {
    let before = machine.meter.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    for (pod, container, visited) in machine.visited() {
        let Some((processor, memory)) = look(&visited) else {
            continue;
        };
        let now = Instant::now();
        let earlier = before.get(&visited.inside.id).copied();
        // One that was not looked at before has taken nothing before its start.
        let (since, taken) = earlier
            .filter(|(at, _)| now.duration_since(*at) >= SHORTEST)
            .unwrap_or((visited.since, 0));
        let window = now.duration_since(since).max(SHORTEST);
        let nanos = u128::from(processor.saturating_sub(taken)) * 1_000_000_000 / window.as_nanos().max(1);
        found.push(Usage {
            pod,
            container,
            nanocores: u64::try_from(nanos).unwrap_or(u64::MAX),
            memory,
            window: window.as_millis().try_into().unwrap_or(u64::MAX),
        });
    }
    found
}

/// Nanoseconds of processor so far, and bytes of memory that cannot be had back at once.
fn look(visited: &Visited) -> Option<(u64, u64)> {
    let group = visited.inside.cgroup.as_deref();
    group
        .and_then(by_group)
        .or_else(|| by_processes(visited.inside.first.pid))
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: impl AsRef<Path>, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

fn by_group(group: &str) -> Option<(u64, u64)> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        let here = root.join(group);
        let processor = field(here.join("cpu.stat"), "usage_usec")?.checked_mul(1000)?;
        let idle = field(here.join("memory.stat"), "inactive_file").unwrap_or(0);
        return Some((
            processor,
            number(here.join("memory.current"))?.saturating_sub(idle),
        ));
    }
    let names = ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"];
    let processor = names
        .iter()
        .find_map(|name| number(root.join(name).join(group).join("cpuacct.usage")))?;
    let here = root.join("memory").join(group);
    let idle = field(here.join("memory.stat"), "total_inactive_file").unwrap_or(0);
    let memory = number(here.join("memory.usage_in_bytes"))?.saturating_sub(idle);
    Some((processor, memory))
}

/// Of all processes in the namespace of processes that the first one has. Those that have ended and were waited for by
/// their parents are counted with these.
fn by_processes(first: i32) -> Option<(u64, u64)> {
    let whose = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = whose(&first.to_string())?;
    let (mut ticks, mut pages) = (0_u64, 0_u64);
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        if whose(pid).as_ref() != Some(&own) {
            continue;
        }
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may contain anything. After it: user and system time, own and of ended children.
        let rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        ticks += rest
            .skip(11)
            .take(4)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum::<u64>();
        let memory = fs::read_to_string(entry.path().join("statm")).unwrap_or_default();
        let resident = memory
            .split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse::<u64>().ok());
        pages += resident.unwrap_or(0);
    }
    let per_second = sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap_or(100);
    let page = sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap_or(4096);
    Some((ticks * (1_000_000_000 / per_second.max(1)), pages * page))
}

fn sysconf(what: nix::unistd::SysconfVar) -> Option<u64> {
    let value = nix::unistd::sysconf(what).ok()??;
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_by_their_namespace() {
        let own = i32::try_from(std::process::id()).unwrap();
        let (processor, memory) = by_processes(own).unwrap();
        assert!(processor > 0 && memory > 1 << 20, "{processor} {memory}");
        assert_eq!(by_processes(i32::MAX), None);
    }
}
