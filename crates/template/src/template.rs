//! A parsed template and its evaluation in rounds: each round says what is missing until nothing is.

use crate::engine::{ExecError, Execution, Fault, FunctionCheck, MissingKey, ParseFault, Trees, Value};
use crate::error::{Error, ErrorKind, position};
use crate::functions::{self, Round};
use crate::known::Known;
use crate::request::{FileWrite, Request, SourceError, Sources};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// How many rounds of asking a template gets. A chain of dependent secrets is rarely longer than three.
const ROUNDS: usize = 64;

/// How a template is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What begins and ends an action.
    pub delimiters: (String, String),
    /// Whether a missing map key is an error rather than `<no value>`.
    pub error_on_missing_key: bool,
    /// Names of functions that may not be used; `*` matches any run of characters.
    pub denied_functions: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delimiters: ("{{".to_owned(), "}}".to_owned()),
            error_on_missing_key: false,
            denied_functions: Vec::new(),
        }
    }
}

/// A parsed template. Rendering does not change it.
pub struct Template {
    name: String,
    text: String,
    pub(crate) engine: Arc<Engine>,
}

/// The trees, shared with the functions that execute templates by name.
pub(crate) struct Engine {
    main: String,
    /// Of its name and text: what it draws is of its own.
    digest: [u8; 32],
    trees: Trees,
    missing_key: MissingKey,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.name)
    }
}

/// One round's result.
#[derive(Debug)]
pub struct Evaluation {
    /// The text, or why there is none; of no use while something is missing.
    pub text: Result<Vec<u8>, Error>,
    /// What was asked for and is not known.
    pub missing: BTreeSet<Request>,
    /// Everything asked for.
    pub used: BTreeSet<Request>,
    /// Files to write besides the output.
    pub files: Vec<FileWrite>,
}

/// A finished rendering.
pub struct Rendered {
    /// The output; text, unless a value in it is none.
    pub text: Vec<u8>,
    /// Everything it depends on.
    pub used: BTreeSet<Request>,
    /// Files to write besides the output.
    pub files: Vec<FileWrite>,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rendered({} bytes from {:?})", self.text.len(), self.used)
    }
}

impl Template {
    /// Reads a template; unknown, denied and unsupported functions are found here.
    ///
    /// # Errors
    /// With line and column, if it does not parse or names a function it may not use.
    pub fn parse(name: &str, text: &str, options: &Options) -> Result<Self, Error> {
        let main = if name.is_empty() { "template" } else { name };
        let (left, right) = &options.delimiters;
        let mut trees = Trees::default();
        let check = |name: &str| match functions::check(name, &options.denied_functions) {
            None => FunctionCheck::Known,
            Some(_) => FunctionCheck::Unknown,
        };
        trees.parse(main, text, (left, right), &check).map_err(|error| {
            let (line, column) = position(text, error.offset);
            let kind = match error.fault {
                ParseFault::Syntax(message) => ErrorKind::Syntax(message),
                ParseFault::Function(function) => functions::check(&function, &options.denied_functions)
                    .unwrap_or(ErrorKind::Syntax(function)),
            };
            Error {
                name: name.to_owned(),
                line,
                column,
                kind,
            }
        })?;
        let missing_key = if options.error_on_missing_key {
            MissingKey::Error
        } else {
            MissingKey::Zero
        };
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            engine: Arc::new(Engine {
                main: main.to_owned(),
                digest: Sha256::new()
                    .chain_update(Sha256::digest(name))
                    .chain_update(text)
                    .finalize()
                    .into(),
                trees,
                missing_key,
            }),
        })
    }

    /// The template's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Evaluates once with what is known.
    #[must_use]
    pub fn evaluate(&self, known: Arc<Known>) -> Evaluation {
        let round = Arc::new(Round::new(Arc::clone(&known), Arc::clone(&self.engine)));
        let result = self.engine.run(&round, &self.engine.main, &Value::Missing);
        let seen = round.finish();
        let text = result.map_err(|error| Error {
            name: self.name.clone(),
            line: error.line,
            column: error.column + 1,
            kind: ErrorKind::Execution(known.redact(&format!("at <{}>: {}", error.context, error.message))),
        });
        Evaluation {
            text,
            missing: seen.missing,
            used: seen.used,
            files: seen.files,
        }
    }

    /// Evaluates until nothing is missing.
    ///
    /// # Errors
    /// If a source has no answer, evaluating fails, or it never stops asking.
    pub fn render(&self, sources: &mut dyn Sources) -> Result<Rendered, Error> {
        let mut known = Arc::new(Known::default());
        for _ in 0..ROUNDS {
            let evaluation = self.evaluate(Arc::clone(&known));
            if evaluation.missing.is_empty() {
                return Ok(Rendered {
                    text: evaluation.text?,
                    used: evaluation.used,
                    files: evaluation.files,
                });
            }
            // The round has ended, so that this is the only holder; if not, what is known is asked for again.
            let mut next = Arc::try_unwrap(known).unwrap_or_default();
            for request in evaluation.missing {
                let answer = sources
                    .get(&request)
                    .map_err(|SourceError(reason)| self.source_error(&request, reason))
                    .map_err(|mut error| {
                        // The request may be made of an answer.
                        if let ErrorKind::Source { what, reason } = &mut error.kind {
                            (*what, *reason) = (next.redact(what), next.redact(reason));
                        }
                        error
                    })?;
                next.insert(request, answer);
            }
            known = Arc::new(next);
        }
        Err(Error {
            name: self.name.clone(),
            line: 0,
            column: 0,
            kind: ErrorKind::Endless(ROUNDS),
        })
    }

    /// The error for a request that has no answer, placed in this template.
    #[must_use]
    pub fn source_error(&self, request: &Request, reason: String) -> Error {
        let (line, column) = request
            .vault_path()
            .and_then(|path| self.text.find(path))
            .map_or((0, 0), |offset| position(&self.text, offset));
        Error {
            name: self.name.clone(),
            line,
            column,
            kind: ErrorKind::Source {
                what: request.to_string(),
                reason,
            },
        }
    }
}

impl Engine {
    /// What tells this template from others.
    pub(crate) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    fn run(&self, round: &Arc<Round>, name: &str, data: &Value) -> Result<Vec<u8>, ExecError> {
        Execution {
            trees: &self.trees,
            functions: &functions::table(round),
            in_place: functions::in_place,
            missing_key: self.missing_key,
            budget: &round.budget,
        }
        .execute(name, data)
    }

    /// Executes one of the templates for a function.
    pub(crate) fn execute(
        &self,
        round: &Arc<Round>,
        name: &str,
        data: &Value,
    ) -> crate::engine::Result<Vec<u8>> {
        self.run(round, name, data)
            .map_err(|error| Fault(format!("at <{}>: {}", error.context, error.message)))
    }
}
