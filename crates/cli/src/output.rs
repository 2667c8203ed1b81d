//! What the user sees at the end: errors with their causes and hints, and exit codes.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

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
pub(crate) fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
                return ExitCode::from(*code);
            }
            if is_closed_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Help and version are no failures; everything else clap says is wrong usage.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nothing sensible is left to do when the terminal is gone.
    let _printed = error.print();
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
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
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(verbose > 1);
    // Set already when a command runs inside another one.
    let _first = subscriber.try_init();
}

/// Prints rows with aligned columns; the last column is not padded.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 3 - cell.chars().count()));
        }
        println!("{}", line.trim_end());
    }
}

/// Copies a streamed body to standard output as it comes.
pub(crate) async fn copy(mut body: hyper::body::Incoming) -> anyhow::Result<()> {
    use http_body_util::BodyExt;
    use std::io::Write;
    let mut out = std::io::stdout();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            out.write_all(&data)?;
            out.flush()?;
        }
    }
    Ok(())
}
