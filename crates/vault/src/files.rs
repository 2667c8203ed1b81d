//! Reading files that others may have put there: no pipe or device hangs it, and none fills the memory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The longest file that is read.
pub(crate) const LONGEST: u64 = 64 << 20;

/// Opens a regular file. Without `follow`, a link in the path's last place is refused.
pub(crate) fn open(path: &Path, follow: bool) -> Result<(File, Metadata)> {
    // Opening a pipe would wait for its other end.
    let mut flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    if !follow {
        flags |= nix::libc::O_NOFOLLOW;
    }
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(irregular());
    }
    Ok((file, found))
}

/// Reads a regular file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_open(&open(path, true)?.0)
}

/// Reads what is open, to its end or the limit. Files of the kernel do not say how long they are.
pub(crate) fn read_open(file: &File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= LONGEST) {
        return Ok(bytes);
    }
    Err(Error::new(ErrorKind::FileTooLarge, "it is larger than 64 MiB"))
}

/// What is said of pipes, devices and directories.
pub(crate) fn irregular() -> Error {
    Error::other("it is no regular file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_devices_and_endless_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [
            pipe.as_path(),
            dir.path(),
            Path::new("/dev/zero"),
            Path::new("/dev/tty"),
        ] {
            assert!(read(path).is_err(), "{}", path.display());
        }
        let long = dir.path().join("long");
        File::create(&long).unwrap().set_len(LONGEST + 1).unwrap();
        assert_eq!(read(&long).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(read(Path::new("/proc/self/status")).is_ok_and(|bytes| !bytes.is_empty()));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&long, &link).unwrap();
        assert!(open(&link, true).is_ok() && open(&link, false).is_err());
    }
}
