//! What a script may use up.

/// What a list, a map, an object or a closure costs, empty: how deep they nest is bounded by how many there are.
pub(super) const EACH: usize = 512;

/// Limits of one script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Evaluated expressions and statements.
    pub(crate) steps: u64,
    /// Calls within calls.
    pub(crate) depth: usize,
    /// Expressions within expressions.
    pub(crate) nesting: usize,
    /// Bytes of texts and entries of collections made, roughly.
    pub(crate) memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 20_000_000,
            depth: 400,
            nesting: 20_000,
            memory: 512 * 1024 * 1024,
        }
    }
}
