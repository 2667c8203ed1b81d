//! The filter of system calls that every container gets unless it is privileged or admitted without one. Compiled from
//! the table to the kernel's own language; nothing outside this process is needed.

mod table;

use nix::libc::{self, sock_filter};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use table::{ALWAYS, HERE, HIGHEST, NEW, TESTED, Test, WITH};

/// What the kernel knows this architecture as.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
/// See the other.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Calls of the x32 variant have this bit.
const X32: u32 = 0x4000_0000;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const NOT_PERMITTED: u32 = ERRNO | 1;
const NO_SUCH_CALL: u32 = ERRNO | 38;

/// Loads, jumps and the end, as the kernel encodes them.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const ABOVE: u16 = 0x25;
const BITS: u16 = 0x45;
const RETURN: u16 = 0x06;

/// A filter, ready to be installed.
#[derive(Debug, Clone)]
pub(crate) struct Filter(Vec<sock_filter>);

fn step(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn end(verdict: u32) -> sock_filter {
    step(RETURN, verdict, 0, 0)
}

impl Filter {
    /// The filter for a process that will have `capabilities` (`CAP_…`).
    pub(crate) fn new(capabilities: &[String]) -> Self {
        let has = |wanted: &[&str]| {
            wanted
                .iter()
                .any(|name| capabilities.iter().any(|own| own == name))
        };
        let with = WITH
            .iter()
            .filter(|(needs, _)| has(needs))
            .flat_map(|(_, calls)| *calls);
        let free: BTreeSet<u32> = ALWAYS
            .iter()
            .chain(HERE)
            .chain(NEW)
            .chain(with)
            .filter_map(|call| u32::try_from(*call).ok())
            .collect();
        let tested: BTreeMap<u32, Test> = TESTED
            .iter()
            .filter_map(|(call, test)| Some((u32::try_from(*call).ok()?, *test)))
            .filter(|(call, _)| !free.contains(call))
            .collect();

        let mut program = vec![
            step(LOAD, 4, 0, 0),
            step(EQUAL, ARCHITECTURE, 1, 0),
            end(NO_SUCH_CALL),
            step(LOAD, 0, 0, 0),
            step(AT_LEAST, X32, 0, 1),
            end(NO_SUCH_CALL),
        ];
        for (first, last) in ranges(&free) {
            program.extend([step(AT_LEAST, first, 0, 2), step(ABOVE, last, 1, 0), end(ALLOW)]);
        }
        for (call, test) in tested {
            let checks = checks(test);
            let length = u8::try_from(checks.len()).unwrap_or(u8::MAX);
            program.push(step(EQUAL, call, 0, length));
            program.extend(checks);
        }
        program.extend([step(ABOVE, HIGHEST, 0, 1), end(NO_SUCH_CALL), end(NOT_PERMITTED)]);
        Self(program)
    }

    /// Puts it on this thread and all that come from it, for good.
    pub(crate) fn install(&self) -> io::Result<()> {
        install::filter(&self.0)
    }
}

/// Numbers without gaps, together.
fn ranges(numbers: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => found.push((*number, *number)),
        }
    }
    found
}

/// Ends in a verdict on every way.
fn checks(test: Test) -> Vec<sock_filter> {
    // The lower half of an argument comes first: both architectures are little-endian.
    let load = |argument: u32| step(LOAD, 16 + 8 * argument, 0, 0);
    let each = |values: &[u32], verdict: u32| -> Vec<sock_filter> {
        values
            .iter()
            .flat_map(|value| [step(EQUAL, *value, 0, 1), end(verdict)])
            .collect()
    };
    match test {
        Test::OneOf(argument, values) => [
            vec![load(argument)],
            each(values, ALLOW),
            vec![end(NOT_PERMITTED)],
        ]
        .concat(),
        Test::NoneOf(argument, values) => [
            vec![load(argument)],
            each(values, NOT_PERMITTED),
            vec![end(ALLOW)],
        ]
        .concat(),
        Test::Without(argument, bits) => {
            vec![
                load(argument),
                step(BITS, bits, 0, 1),
                end(NOT_PERMITTED),
                end(ALLOW),
            ]
        }
        Test::Unknown => vec![end(NO_SUCH_CALL)],
    }
}

mod install {
    //! The one call that installs a filter.
    #![expect(unsafe_code, reason = "the call takes a pointer to the program")]

    use super::{io, libc, sock_filter};

    /// A thread that may gain privileges needs `CAP_SYS_ADMIN` for it.
    pub(super) fn filter(program: &[sock_filter]) -> io::Result<()> {
        let length = u16::try_from(program.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog {
            len: length,
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel reads `len` instructions from `filter`, which live until the call returns, writes
        // nothing through the pointer, and keeps a copy.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const program,
            )
        };
        if answer == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::c_long;

    /// Runs a filter as the kernel would.
    fn verdict(filter: &Filter, architecture: u32, call: c_long, arguments: [u64; 6]) -> u32 {
        let (mut accumulator, mut at) = (0_u32, 0_usize);
        loop {
            let step = &filter.0[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match step.code {
                LOAD => {
                    accumulator = match step.k {
                        0 => u32::try_from(call).unwrap(),
                        4 => architecture,
                        k => (arguments[usize::try_from((k - 16) / 8).unwrap()] & 0xffff_ffff)
                            .try_into()
                            .unwrap(),
                    }
                }
                EQUAL => at += jump(accumulator == step.k),
                AT_LEAST => at += jump(accumulator >= step.k),
                ABOVE => at += jump(accumulator > step.k),
                BITS => at += jump(accumulator & step.k != 0),
                RETURN => return step.k,
                code => panic!("{code}"),
            }
        }
    }

    #[test]
    fn calls_are_allowed_by_number_argument_and_capability() {
        let default = Filter::new(&["CAP_CHOWN".to_owned(), "CAP_SYS_CHROOT".to_owned()]);
        let admin = Filter::new(&["CAP_SYS_ADMIN".to_owned()]);
        assert!(default.0.len() < 1000);
        let of = |filter: &Filter, call, first| verdict(filter, ARCHITECTURE, call, [first, 0, 0, 0, 0, 0]);
        for call in [
            libc::SYS_read,
            libc::SYS_execve,
            libc::SYS_openat2,
            libc::SYS_chroot,
            libc::SYS_ptrace,
            452,
        ] {
            assert_eq!(of(&default, call, 0), ALLOW, "{call}");
        }
        for call in [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_kexec_load,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_open_by_handle_at,
            libc::SYS_init_module,
            libc::SYS_swapon,
            libc::SYS_settimeofday,
        ] {
            assert_eq!(of(&default, call, 0), NOT_PERMITTED, "{call}");
        }
        assert_eq!(of(&admin, libc::SYS_mount, 0), ALLOW);
        assert_eq!(of(&admin, libc::SYS_clone3, 0), ALLOW);
        assert_eq!(of(&default, libc::SYS_clone3, 0), NO_SUCH_CALL);
        assert_eq!(of(&default, libc::SYS_clone, 0x11), ALLOW);
        assert_eq!(of(&default, libc::SYS_clone, 0x1000_0011), NOT_PERMITTED);
        assert_eq!(of(&default, libc::SYS_socket, 2), ALLOW);
        assert_eq!(of(&default, libc::SYS_socket, 40), NOT_PERMITTED);
        // An upper half changes nothing for the kernel, so it must not for the filter.
        assert_eq!(of(&default, libc::SYS_socket, 1 << 32 | 40), NOT_PERMITTED);
        assert_eq!(of(&default, libc::SYS_personality, 0xffff_ffff), ALLOW);
        assert_eq!(of(&default, libc::SYS_personality, 0x40_0000), NOT_PERMITTED);
        assert_eq!(of(&default, 5000, 0), NO_SUCH_CALL);
        assert_eq!(verdict(&default, ARCHITECTURE, 0x4000_0000, [0; 6]), NO_SUCH_CALL);
        assert_eq!(
            verdict(&default, 0x4000_0003, libc::SYS_read, [0; 6]),
            NO_SUCH_CALL
        );
    }
}
