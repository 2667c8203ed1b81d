//! Pod Security: what a deployer may not put into a pod.
