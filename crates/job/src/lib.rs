//! What a job is: the one type that readers (Job DSL, config.xml, YAML) make, the runner runs and the API shows, so that
//! no field is lost on the way. Data only; what has no effect has no field here.
#![forbid(unsafe_code)]

mod job;
mod may;
mod parameter;
mod paths;
mod step;
mod trigger;

pub use job::{Artefacts, Job, Origin, Retention, Source, Target};
pub use may::{May, Scope};
pub use parameter::{Parameter, ParameterKind};
pub use paths::{is_within, matches};
pub use step::{Action, Step};
pub use trigger::{Downstream, Ended, Trigger, When};
