//! Whether output has colours, and the few there are: `--color`, else `NO_COLOR`, else whether a terminal reads.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

static OUT: AtomicBool = AtomicBool::new(false);
static ERR: AtomicBool = AtomicBool::new(false);

/// Decides once, for the whole program.
pub(crate) fn decide(when: When) {
    let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let wanted = |terminal: bool| match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !quiet,
    };
    OUT.store(wanted(std::io::stdout().is_terminal()), Ordering::Relaxed);
    ERR.store(wanted(std::io::stderr().is_terminal()), Ordering::Relaxed);
}

/// Whether standard error has colours.
pub(crate) fn on_stderr() -> bool {
    ERR.load(Ordering::Relaxed)
}

/// What clap is to do with its own texts.
pub(crate) fn choice(when: When) -> clap::ColorChoice {
    match when {
        When::Auto => clap::ColorChoice::Auto,
        When::Always => clap::ColorChoice::Always,
        When::Never => clap::ColorChoice::Never,
    }
}

/// The colour that a word of health or of a run's status stands for, around any text.
pub(crate) fn by_word(word: &str, text: &str) -> String {
    let code = match word {
        "healthy" | "succeeded" | "ready" | "up" => "32",
        "progressing" | "running" | "queued" | "held" | "warning" => "33",
        "degraded" | "missing" | "incomplete" | "failed" | "unstable" | "lost" | "aborted" | "error" => "31",
        _ => return text.to_owned(),
    };
    if OUT.load(Ordering::Relaxed) {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// `error:` in red where standard error has colours.
pub(crate) fn error() -> &'static str {
    if on_stderr() {
        "\x1b[1;31merror:\x1b[0m"
    } else {
        "error:"
    }
}

/// What begins a terminal's page anew; nothing elsewhere.
pub(crate) fn clear() -> &'static str {
    if std::io::stdout().is_terminal() {
        "\x1b[H\x1b[2J\x1b[3J"
    } else {
        ""
    }
}
