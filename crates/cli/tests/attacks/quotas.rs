//! ResourceQuota, LimitRange and the defaults of a pod without limits.
