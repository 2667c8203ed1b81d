//! What `secret` and `pkiCert` give: a value with a few fields. A field that it does not have is an error, as a slip of
//! the pen must not become a file with `<no value>` in it.

use crate::engine::{Map, Member, Object, Value, print};
use std::borrow::Cow;

/// Fields under the name of upstream's type.
pub(super) struct Response(pub(super) &'static str, pub(super) Map);

impl Object for Response {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn member(&self, name: &str) -> Member {
        match self.1.get(name) {
            Some(value) => Member::Field(value.clone()),
            None => Member::None,
        }
    }

    fn print(&self, out: &mut Vec<u8>) {
        print::write_value(out, &Value::Map(self.1.clone()));
    }

    fn plain(&self) -> Option<Map> {
        Some(self.1.clone())
    }
}
