//! Smaller ways in: redirects, files' modes, verbs, certificates' ends.
