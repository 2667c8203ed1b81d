//! Runs job definitions: dispatcher, triggers, executors, logs.
