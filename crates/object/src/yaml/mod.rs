//! YAML as Kubernetes tools read and print it: go-yaml v3's resolution going in, go-yaml v2's printer coming out.
//!
//! Owns the syntax tree with places in the text ([`Node`]), the conversion to JSON values and the printer. It knows
//! nothing of Kubernetes except how [`parse_objects`] takes `kind: List` apart. No typed (de)serialisation here.
//!
//! ```
//! use herder_object::yaml;
//! let (objects, errors) = yaml::parse_objects("kind: Pod\n---\n# nothing\n---\nkind: Service\n");
//! assert!(errors.is_empty());
//! assert_eq!(objects.len(), 2);
//! assert_eq!(objects[1].1, 5);
//! assert_eq!(yaml::print(&objects[0].0), "kind: Pod\n");
//! ```

mod emit;
mod go;
mod json;
mod node;
mod order;
mod parse;
mod resolve;
mod scalar;
mod scan;

pub use emit::{json_number, print, print_all};
pub use go::format_float as float_text;
pub use json::{parse_objects, resolved_json, to_json};
pub use node::{Content, Document, Node, Style, YamlError};
pub use order::natural_order;
pub use parse::parse;
pub use resolve::{Resolved, is_v2_string, resolve, resolve_plain, resolve_plain_v2};
