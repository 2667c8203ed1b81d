//! The signal that an image wants to be ended by.

use nix::sys::signal::Signal;

/// By name, with or without `SIG`, or by number; SIGTERM when it says nothing that could be understood.
pub(super) fn stop(text: &str) -> Signal {
    let named = |name: &str| name.parse().ok();
    let numbered = || {
        text.parse()
            .ok()
            .and_then(|number: i32| Signal::try_from(number).ok())
    };
    let upper = text.to_uppercase();
    named(&upper)
        .or_else(|| named(&format!("SIG{upper}")))
        .or_else(numbered)
        .unwrap_or(Signal::SIGTERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, signal) in [
            ("", Signal::SIGTERM),
            ("SIGQUIT", Signal::SIGQUIT),
            ("quit", Signal::SIGQUIT),
            ("3", Signal::SIGQUIT),
            ("SIGNOTHING", Signal::SIGTERM),
            ("99", Signal::SIGTERM),
        ] {
            assert_eq!(stop(text), signal, "{text}");
        }
    }
}
