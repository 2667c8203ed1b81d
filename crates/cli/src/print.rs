//! The one way in which the program prints. `println!`, `print!`, `eprintln!` and `eprint!` of this crate are these and
//! not the standard library's, which panic when nobody reads any more.
//!
//! Who stops reading (`herder status | head -1`) has seen enough: the program ends, quietly and well. What serves others
//! goes on without readers, and says so once with [`outlive_reader`].

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static OUTLIVES: AtomicBool = AtomicBool::new(false);

/// From here on a reader that goes away is no reason to end.
pub(crate) fn outlive_reader() {
    OUTLIVES.store(true, Ordering::Relaxed);
}

/// Writes to standard output.
pub(crate) fn out(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text) {
        lost(&error);
    }
}

/// Writes to standard error. What cannot be said there cannot be said at all.
pub(crate) fn err(text: Arguments<'_>) {
    _ = io::stderr().lock().write_fmt(text);
}

/// Whether this is the end of whoever read our output.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

fn lost(error: &io::Error) {
    if OUTLIVES.load(Ordering::Relaxed) {
        return;
    }
    let code = if is_closed(error) {
        0
    } else {
        err(format_args!("error: cannot write to standard output: {error}\n"));
        1
    };
    #[expect(
        clippy::exit,
        reason = "a client's command has nothing to tidy up and nobody to tell"
    )]
    std::process::exit(code);
}

/// As the standard library's, but see the module.
macro_rules! print {
    ($($part:tt)*) => { $crate::print::out(format_args!($($part)*)) };
}

/// As the standard library's, but see the module.
macro_rules! println {
    () => { $crate::print::out(format_args!("\n")) };
    ($($part:tt)*) => { $crate::print::out(format_args!("{}\n", format_args!($($part)*))) };
}

/// As the standard library's, but see the module.
macro_rules! eprintln {
    () => { $crate::print::err(format_args!("\n")) };
    ($($part:tt)*) => { $crate::print::err(format_args!("{}\n", format_args!($($part)*))) };
}
