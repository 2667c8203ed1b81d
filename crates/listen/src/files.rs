//! How many files the process may have open: raised as far as allowed, and what becomes of wishes when that is little.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::OnceLock;

/// With so many files every listener can have what it wishes for, and there are some left to work with.
const WISHED: u64 = 32_768;
/// A listener with fewer connections could not be used.
const LEAST: usize = 64;

/// Raises the limit as far as the machine's administrator allows; what it is then.
pub fn raise_file_limit() -> u64 {
    static RAISED: OnceLock<u64> = OnceLock::new();
    *RAISED.get_or_init(|| {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
            return 1024;
        };
        // No more than is of use: some programs that are started from here look at every file they could have.
        let wanted = hard.min(65_536).max(soft);
        match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
            Ok(()) => wanted,
            Err(error) => {
                tracing::debug!(%error, "the limit of open files stays at {soft}");
                soft
            }
        }
    })
}

/// So many of the `wished` connections as fit into the process' files.
pub(crate) fn fitting(wished: usize) -> usize {
    share(wished, raise_file_limit())
}

fn share(wished: usize, files: u64) -> usize {
    if files >= WISHED {
        return wished;
    }
    let part = u64::try_from(wished).unwrap_or(u64::MAX).saturating_mul(files) / WISHED;
    usize::try_from(part).unwrap_or(wished).max(LEAST.min(wished))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_shrink_with_the_files() {
        assert_eq!(share(2000, 1 << 20), 2000);
        assert_eq!(share(2000, WISHED / 2), 1000);
        assert_eq!(share(2000, 256), LEAST);
        assert_eq!(share(10, 256), 10);
        assert!(raise_file_limit() > 0);
    }
}
