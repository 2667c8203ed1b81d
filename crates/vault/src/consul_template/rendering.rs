//! One template's life: read, rendered, held until it rests, written.

use super::output::{self, OutputError, Shape};
use super::settings::{ConfigError, Exec, Settings, TemplateSettings, Wait};
use crate::files;
use herder_base::Secret;
use herder_template::{FileWrite, Options, Rendered, Request, Template};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// A template and what became of it.
pub(super) struct Job {
    pub(super) template: Template,
    pub(super) destination: PathBuf,
    pub(super) sandbox: Option<PathBuf>,
    pub(super) fatal: bool,
    command: Vec<String>,
    exec: Exec,
    timeout: Duration,
    shape: Shape,
    wait: Option<Wait>,
    /// What it depends on.
    pub(super) used: BTreeSet<Request>,
    /// A change that is held: what, since when, and when it last changed.
    held: Option<Held>,
    /// What was written last.
    written: Option<(Secret<Vec<u8>>, Vec<FileWrite>)>,
}

struct Held {
    text: Secret<Vec<u8>>,
    files: Vec<FileWrite>,
    first: Instant,
    last: Instant,
}

impl Job {
    /// Reads a template as its settings say.
    pub(super) fn new(block: &TemplateSettings, all: &Settings, once: bool) -> Result<Self, ConfigError> {
        let fail = |message: &str| ConfigError {
            place: "template".to_owned(),
            message: message.to_owned(),
        };
        let destination = block
            .destination
            .clone()
            .ok_or_else(|| fail("it has no destination"))?;
        let (name, text) = match (&block.source, &block.contents) {
            (Some(source), None) => (
                source.display().to_string(),
                std::fs::read_to_string(source).map_err(|error| ConfigError {
                    place: source.display().to_string(),
                    message: format!("cannot be read: {error}"),
                })?,
            ),
            (None, Some(contents)) => (destination.display().to_string(), contents.clone()),
            _ => return Err(fail("it needs either `source` or `contents`")),
        };
        let delimiter = |own: &Option<String>, general: &Option<String>, usual: &str| {
            own.clone()
                .or_else(|| general.clone())
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| usual.to_owned())
        };
        let options = Options {
            delimiters: (
                delimiter(&block.left_delimiter, &all.left_delimiter, "{{"),
                delimiter(&block.right_delimiter, &all.right_delimiter, "}}"),
            ),
            error_on_missing_key: block.error_on_missing_key.unwrap_or(false),
            denied_functions: block.function_denylist.clone(),
        };
        let template = Template::parse(&name, &text, &options).map_err(|error| ConfigError {
            place: "template".to_owned(),
            message: error.to_string(),
        })?;
        let command = if block.command.is_empty() {
            block.exec.command.clone()
        } else {
            block.command.clone()
        };
        Ok(Self {
            template,
            destination,
            sandbox: block.sandbox_path.clone(),
            fatal: block.error_fatal.or(all.template_error_fatal).unwrap_or(true),
            command,
            timeout: block
                .command_timeout
                .or(block.exec.timeout)
                .unwrap_or(Duration::from_secs(30)),
            exec: block.exec.clone(),
            shape: Shape::of(block),
            wait: if once {
                None
            } else {
                block.wait.or(all.wait).and_then(Wait::active)
            },
            used: BTreeSet::new(),
            held: None,
            written: None,
        })
    }

    /// The command after a change, how long it may take, and its variables.
    pub(super) fn command(&self) -> (&[String], &Exec, Duration) {
        (&self.command, &self.exec, self.timeout)
    }

    /// Takes a new rendering; it is written when it has rested.
    pub(super) fn offer(&mut self, rendered: Rendered, now: Instant) {
        self.used = rendered.used;
        if let Some((text, files)) = &self.written
            && *text.expose() == rendered.text
            && *files == rendered.files
        {
            self.held = None;
            return;
        }
        match &mut self.held {
            Some(held) if *held.text.expose() == rendered.text && held.files == rendered.files => {}
            Some(held) => {
                held.text = Secret::new(rendered.text);
                held.files = rendered.files;
                held.last = now;
            }
            None => {
                self.held = Some(Held {
                    text: Secret::new(rendered.text),
                    files: rendered.files,
                    first: now,
                    last: now,
                });
            }
        }
    }

    /// Whether it was written, or at least offered.
    pub(super) fn is_written(&self) -> bool {
        self.written.is_some()
    }

    /// What would be written.
    pub(super) fn held(&self) -> Option<&[u8]> {
        self.held.as_ref().map(|held| held.text.expose().as_slice())
    }

    /// When what is held may be written.
    pub(super) fn ripe(&self) -> Option<Instant> {
        let held = self.held.as_ref()?;
        Some(match self.wait {
            None => held.last,
            Some(wait) => (held.last + wait.min).min(held.first + wait.max.max(wait.min)),
        })
    }

    /// Writes what is held. Says whether the file changed.
    pub(super) fn write(&mut self) -> Result<bool, OutputError> {
        let Some(held) = self.held.take() else {
            return Ok(false);
        };
        for file in &held.files {
            self.write_beside(file)
                .map_err(|error| error.beside(&self.destination))?;
        }
        let changed = output::write(&self.destination, held.text.expose(), &self.shape)?;
        self.written = Some((held.text, held.files));
        Ok(changed)
    }

    /// A file of `writeToFile`.
    fn write_beside(&self, file: &FileWrite) -> Result<(), OutputError> {
        let path = Path::new(&file.path);
        if let Some(sandbox) = &self.sandbox
            && !crate::sources::within(sandbox, path)
        {
            return Err(OutputError::Write {
                path: path.to_owned(),
                source: std::io::Error::other("it is outside of sandbox_path"),
            });
        }
        let mut bytes = if file.append {
            match files::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                // What is there and cannot be read must not be lost.
                Err(source) => {
                    return Err(OutputError::Write {
                        path: path.to_owned(),
                        source,
                    });
                }
            }
        } else {
            Vec::new()
        };
        bytes.extend_from_slice(&file.content);
        let shape = Shape {
            mode: Some(file.mode),
            user: file.user.clone(),
            group: file.group.clone(),
            backup: false,
            make_directories: true,
        };
        output::write(path, &bytes, &shape).map(drop)
    }
}
