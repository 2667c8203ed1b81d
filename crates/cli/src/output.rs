//! What the user sees at the end: failures with their causes and hints, and exit codes (`docs/exit-codes.md`).

use crate::failing::{self, Failing, Kind};
use crate::paint;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::process::ExitCode;

/// A failure that has already been shown in full, or that asks for a certain exit code.
#[derive(Debug)]
pub(crate) struct Exit(pub(crate) u8);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Prints a failure once, with its causes.
pub(crate) fn failed(error: &anyhow::Error, json: bool) -> ExitCode {
    if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
        return ExitCode::from(*code);
    }
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    say(&failing::of(error), json)
}

/// Prints what a command that reads its own flags ended with.
pub(crate) fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, false),
    }
}

fn say(failing: &Failing, json: bool) -> ExitCode {
    if json {
        println!("{}", failing.to_json());
    } else {
        eprintln!("{} {}", paint::error(), failing.message);
        if let Some(hint) = &failing.hint {
            eprintln!("  hint: {hint}");
        }
    }
    ExitCode::from(failing.kind as u8)
}

/// Help and version are no failures; everything else clap says is wrong usage.
pub(crate) fn usage(mut error: clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        // Nothing sensible is left to do when the terminal is gone.
        let _printed = error.print();
        return ExitCode::SUCCESS;
    }
    keep_hidden(&mut error);
    if json {
        let text = error.render().to_string();
        let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        // The usage and the tips of clap's text are its hint.
        let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
        let failing = Failing::new(Kind::Usage, "usage", message.trim());
        let hint = hint.split_whitespace().collect::<Vec<_>>().join(" ");
        return say(
            &if hint.is_empty() {
                failing
            } else {
                failing.hint(hint)
            },
            true,
        );
    }
    // Nothing sensible is left to do when the terminal is gone.
    let _printed = error.print();
    ExitCode::from(Kind::Usage as u8)
}

/// clap would suggest commands that are for herder's own pods and shown to nobody.
fn keep_hidden(error: &mut clap::Error) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let command = <crate::args::Herder as clap::CommandFactory>::command();
    let hidden = |name: &str| {
        command
            .get_subcommands()
            .any(|sub| sub.get_name() == name && sub.is_hide_set())
    };
    let near = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(near)) => near.clone(),
        Some(ContextValue::String(near)) => vec![near.clone()],
        _ => return,
    };
    let near: Vec<String> = near.into_iter().filter(|name| !hidden(name)).collect();
    if near.is_empty() {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::Suggested);
    } else {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(crate::print::is_closed)
    })
}

/// Sends log lines to standard error: warnings by default, more with `-v`.
pub(crate) fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,hyper=warn,tower=warn",
        _ => "debug,hyper=info,h2=info,rustls=info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("HERDER_LOG").unwrap_or_else(|_| level.into());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(paint::on_stderr())
        .with_target(verbose > 1);
    // Set already when a command runs inside another one.
    let _first = subscriber.try_init();
}

/// Prints rows with aligned columns; the last column is not padded. Words of health and of runs have their colours.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        let mut gap = 0;
        for (width, cell) in widths.iter().zip(row) {
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(&paint::by_word(cell, cell));
            gap = width + 3 - cell.chars().count();
        }
        println!("{}", line.trim_end());
    }
}

/// Copies a streamed body to standard output as it comes; to a terminal without what would steer it.
pub(crate) async fn copy(mut body: hyper::body::Incoming) -> anyhow::Result<()> {
    use http_body_util::BodyExt;
    use std::io::{IsTerminal, Write};
    let mut out = std::io::stdout();
    let mut screen = out.is_terminal().then(herder_base::Screen::default);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            match &mut screen {
                Some(screen) => out.write_all(screen.show(&data).as_bytes())?,
                None => out.write_all(&data)?,
            }
            out.flush()?;
        }
    }
    Ok(())
}
