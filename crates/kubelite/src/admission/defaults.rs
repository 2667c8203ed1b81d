//! What a pod gets that says nothing: the cluster's own limits. Pure numbers; the node agent enforces them.
//!
//! They are meant for who forgot, not for who plans: high enough that nothing that ran before stops, low enough that one
//! pod cannot take its node with it. A pod's own limits and a namespace's LimitRange come first. They are not written
//! into the pod, so that quality of service, scheduling and quotas are as in any Kubernetes.

/// One in so many parts of a node's memory is what a pod without a memory limit may use.
pub(crate) const MEMORY_SHARE: u64 = 2;
/// Whatever the node has, a pod without a memory limit gets this much (or all there is).
pub(crate) const LEAST_MEMORY: u64 = 512 << 20;
/// Processes and threads of one pod.
pub(crate) const PIDS: u64 = 8192;
/// What a container without a limit for `ephemeral-storage` may write outside volumes, in bytes.
pub(crate) const EPHEMERAL_STORAGE: u64 = 20 << 30;
/// What fits into an `emptyDir` without `sizeLimit`, in bytes.
pub(crate) const EMPTY_DIR: u64 = 20 << 30;

/// How much memory a pod without a memory limit may use on a node that has so much.
#[must_use]
pub(crate) fn memory(of_node: u64) -> u64 {
    (of_node / MEMORY_SHARE).max(LEAST_MEMORY).min(of_node.max(1))
}

/// How much fits into an `emptyDir` of medium `Memory` without `sizeLimit`, where the pod may use so much memory.
#[must_use]
pub(crate) fn memory_dir(of_pod: u64) -> u64 {
    (of_pod / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_a_share() {
        assert_eq!(memory(16 << 30), 8 << 30);
        assert_eq!(memory(600 << 20), 512 << 20);
        assert_eq!(memory(100 << 20), 100 << 20);
        assert_eq!(memory_dir(8 << 30), 4 << 30);
    }
}
