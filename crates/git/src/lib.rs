//! Remote to Tree at a commit; commits and pushes. The only crate that speaks git.
