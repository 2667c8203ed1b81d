//! Tree to Fleet: teams, environments, applications, jobs, policies, stacks, with diagnostics.
