//! Times as Jenkins writes them: five fields, `H`, aliases, `TZ=`, several lines; and `@every 10s`, which is ours.
//! Pure: knows no clock.

mod error;
mod hash;
mod schedule;
mod tab;

pub use error::CronError;
pub use hash::Hash;
pub use schedule::Schedule;
pub use tab::CronTab;
