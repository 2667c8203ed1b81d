//! Secrets in the output of jobs.
