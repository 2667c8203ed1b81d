//! Closes a container's control group to the machine's devices but the usual ones. The container runtime only does half of
//! it where there is a hierarchy for devices, and nothing in the unified hierarchy, where a small program in the kernel
//! decides.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// `null`, `zero`, `full`, `random`, `urandom`, `tty`, `console`, `ptmx`.
const USUAL: [(i32, i32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
/// `pts/*`.
const TERMINALS: i32 = 136;

/// Closes `group`, wherever it is.
pub(crate) fn close(group: &str) -> io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let old = root.join("devices").join(group);
    if old.is_dir() {
        // The runtime lets every container make device nodes and open network tunnels, whatever it is told.
        for rule in ["b *:* m", "c *:* m", "c 10:200 rwm"] {
            fs::write(old.join("devices.deny"), rule)?;
        }
    }
    if root.join("cgroup.controllers").exists() {
        close_unified(&root.join(group))?;
    }
    Ok(())
}

fn close_unified(group: &Path) -> io::Result<()> {
    let group: OwnedFd = open(
        group,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    kernel::attach(&kernel::load(&program())?, &group)
}

/// An instruction as the kernel encodes it: code, registers, offset, constant.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

/// What is asked for comes as three numbers: kind (and access), major, minor.
fn program() -> Vec<Instruction> {
    let step = |code, registers, offset, constant| Instruction {
        code,
        registers,
        offset,
        constant,
    };
    // 0x61: load into the lower register from the upper one; 0x54: and; 0x15 and 0x55: jump if equal, if not.
    let mut steps = vec![
        step(0x61, 0x12, 0, 0),
        step(0x54, 0x02, 0, 0xffff),
        step(0x61, 0x13, 4, 0),
        step(0x61, 0x14, 8, 0),
    ];
    let checks = 2 * USUAL.len() + 1;
    let skip = |steps: usize| i16::try_from(steps).unwrap_or(i16::MAX);
    // 2: a character device. Past the checks is the refusal.
    steps.push(step(0x55, 0x02, skip(checks), 2));
    for (index, (major, minor)) in USUAL.iter().enumerate() {
        let left = checks - 2 * index;
        steps.push(step(0x55, 0x03, 1, *major));
        // Past the rest of the checks and the two steps of the refusal.
        steps.push(step(0x15, 0x04, skip(left - 2 + 2), *minor));
    }
    steps.push(step(0x15, 0x03, 2, TERMINALS));
    // 0xb7: the verdict; 0x95: the end.
    for verdict in [0, 1] {
        steps.push(step(0xb7, 0x00, 0, verdict));
        steps.push(step(0x95, 0x00, 0, 0));
    }
    steps
}

mod kernel {
    //! Loads and attaches the program.
    #![expect(unsafe_code, reason = "bpf takes pointers and has no safe form")]

    use super::{Instruction, OwnedFd, io};
    use nix::libc;
    use std::os::fd::{AsRawFd, FromRawFd};

    /// The beginning of the kernel's `bpf_attr` for `BPF_PROG_LOAD`.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        steps: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel: u32,
        flags: u32,
    }

    /// The beginning of `bpf_attr` for `BPF_PROG_ATTACH`.
    #[repr(C)]
    struct Attach {
        group: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }

    pub(super) fn load(steps: &[Instruction]) -> io::Result<OwnedFd> {
        let attributes = Load {
            // BPF_PROG_TYPE_CGROUP_DEVICE
            kind: 15,
            count: u32::try_from(steps.len()).map_err(io::Error::other)?,
            steps: steps.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel: 0,
            flags: 0,
        };
        // SAFETY: the structure is of the size that is said and lives until the call returns, as do the instructions
        // and the license it points to; the kernel writes to none of them.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, 5, &raw const attributes, size_of::<Load>()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for this process; it is close-on-exec.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn attach(program: &OwnedFd, group: &OwnedFd) -> io::Result<()> {
        let number = |fd: &OwnedFd| u32::try_from(fd.as_raw_fd()).map_err(io::Error::other);
        let attributes = Attach {
            group: number(group)?,
            program: number(program)?,
            // BPF_CGROUP_DEVICE, beside others
            kind: 6,
            flags: 2,
        };
        // SAFETY: the structure is of the size that is said and lives until the call returns.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, 8, &raw const attributes, size_of::<Attach>()) };
        if answer < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_program_and_keeps_to_it() {
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .map(Path::new)
            .find(|path| path.join("cgroup.procs").exists() && path.join("cgroup.controllers").exists());
        let (Some(root), true) = (unified, nix::unistd::geteuid().is_root()) else {
            return;
        };
        let group = root.join(format!("herder-devices-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        close_unified(&group).unwrap();
        let script = format!(
            "echo $$ > {}/cgroup.procs; for d in null zero full random urandom ptmx; do ( : < /dev/$d ) || echo no $d; done; \
             for d in kmsg mem loop-control net/tun; do test -e /dev/$d && ( : < /dev/$d ) && echo opened $d; done; \
             mknod /tmp/herder-devices-test-$$ b 1 1 && echo made; true",
            group.display()
        );
        let ran = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        fs::remove_dir(&group).unwrap();
        assert!(ran.status.success());
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "", "{ran:?}");
    }
}
