//! The logs of runs: files, one per run, that can be followed while they grow. A line is
//! `TIME MARK TEXT`, where MARK is `-` (Herder's own remark), `N` (text of step N), `N>` (step N begins, TEXT is its
//! title) or `N<` (step N ended, TEXT is its exit code); the first line is `#herder-log 1 JOB #NUMBER`.

mod line;
mod mask;
mod spellings;
mod store;
mod tail;
mod writer;

pub use line::{LineKind, LogLine, Plain};
pub use mask::Mask;
pub(crate) use store::folder;
pub use store::{LogError, LogStore};
pub use tail::TailItem;
pub use writer::LogWriter;
