//! `SEED_JOB`: the job that reads the scripts. Here it is the fleet's `update-jobs`, which has a name and nothing of Jenkins.

use crate::run::{Foreign, Throw, Value};
use std::any::Any;
use std::rc::Rc;

/// Its name.
const NAME: &str = "update-jobs";

struct SeedJob;

impl Foreign for SeedJob {
    fn describe(&self) -> String {
        NAME.to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// It, as a value.
pub(super) fn value() -> Value {
    Value::Foreign(Rc::new(SeedJob))
}

/// A property of it; none if it is something else.
pub(super) fn property(of: &Rc<dyn Foreign>, name: &str) -> Result<Option<Value>, Throw> {
    if !of.as_any().is::<SeedJob>() {
        return Ok(None);
    }
    match name {
        "name" | "fullName" | "displayName" | "fullDisplayName" => Ok(Some(Value::text(NAME))),
        "description" => Ok(Some(Value::text(""))),
        "class" | "metaClass" => Ok(None),
        other => Err(Throw::exception(
            "MissingPropertyException",
            format!(
                "SEED_JOB has no `{other}` here: jobs are made by `{NAME}` from a commit, which knows no workspace, builds or parameters of Jenkins"
            ),
        )),
    }
}

/// A getter of it; none if it is something else.
pub(super) fn method(of: &Rc<dyn Foreign>, name: &str, args: &[Value]) -> Result<Option<Value>, Throw> {
    if !of.as_any().is::<SeedJob>() || !args.is_empty() {
        return Ok(None);
    }
    match name.strip_prefix("get") {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_uppercase()) => {
            let mut letters = rest.chars();
            let first = letters.next().map(|c| c.to_ascii_lowercase());
            let name: String = first.into_iter().chain(letters).collect();
            property(of, &name)
        }
        _ if name == "toString" => Ok(Some(Value::text(NAME))),
        _ => Ok(None),
    }
}
