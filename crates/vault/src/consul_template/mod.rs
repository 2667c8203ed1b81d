//! consul-template: its configuration, its command line, and the loop that renders templates, runs commands and looks
//! after a program. Consul and Nomad are left out, plainly. Prints nothing itself; speaks through `tracing`.

mod child;
mod command;
mod flags;
mod glob;
mod hcl;
mod output;
mod process;
mod rendering;
mod runner;
mod schema;
mod settings;
mod token;
mod values;

pub use flags::{FLAGS, Flag, Invocation, usage};
pub use runner::{End, RunError, run};
pub use schema::{read_file, read_text, setting_names};
pub use settings::{ConfigError, Exec, Settings, TemplateSettings, Vault, Wait};
pub use values::template_triple;
