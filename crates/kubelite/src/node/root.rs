//! The root of a `host` container, assembled from the machine: overlays whose changes are thrown away, everything else
//! empty. Runs in the launcher's own mount namespace; nothing it mounts is seen anywhere else.

use super::launch::RootPlan;
use nix::mount::{MsFlags, mount};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use thiserror::Error;

/// Why the root could not be assembled.
#[derive(Debug, Error)]
pub(crate) enum RootError {
    /// One step.
    #[error("{what} {path}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Top-level directories that come from the machine, where they are no symbolic links.
const FROM_MACHINE: [&str; 12] = [
    "usr", "etc", "opt", "srv", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu",
];
/// Directories that are there, and empty.
const EMPTY: [(&str, u32); 16] = [
    ("dev", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("run/lock", 0o1777),
];

fn step<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RootError + 'a {
    move |source| RootError::Step {
        what,
        path: path.display().to_string(),
        source,
    }
}

/// Assembles `plan.fs/root`.
pub(crate) fn assemble(plan: &RootPlan) -> Result<(), RootError> {
    let fs_dir = plan.fs.as_path();
    mount(
        Some("tmpfs"),
        fs_dir,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )
    .map_err(|errno| step("could not mount scratch space on", fs_dir)(errno.into()))?;
    // Relative paths from here on: commas and colons in the data directory's path would be read as mount options.
    std::env::set_current_dir(fs_dir).map_err(step("could not enter", fs_dir))?;
    for dir in ["root", "upper", "work"] {
        make_dir(Path::new(dir), 0o755)?;
    }
    for top in FROM_MACHINE {
        let machine = Path::new("/").join(top);
        let here = Path::new("root").join(top);
        match fs::symlink_metadata(&machine) {
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&machine).map_err(step("could not read", &machine))?;
                symlink(target, &here).map_err(step("could not make", &here))?;
            }
            Ok(meta) if meta.is_dir() => overlay(plan, top, &here)?,
            _ => {}
        }
    }
    for (dir, mode) in EMPTY {
        make_dir(&Path::new("root").join(dir), mode)?;
    }
    for (link, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        let link = Path::new("root").join(link);
        symlink(target, &link).map_err(step("could not make", &link))?;
    }
    bind_binary(plan)?;
    if let Some(cwd) = &plan.cwd {
        let dir = inside(cwd);
        if !dir.exists() {
            fs::create_dir_all(&dir).map_err(step("could not make the working directory", Path::new(cwd)))?;
        }
    }
    Ok(())
}

/// What is put into the upper layer first shows in the overlay, under directories that belong to this process: an
/// ordinary user could not create anything in those of the machine.
fn overlay(plan: &RootPlan, top: &str, here: &Path) -> Result<(), RootError> {
    let (upper, work) = (Path::new("upper").join(top), Path::new("work").join(top));
    for dir in [here, &upper, &work] {
        make_dir(dir, 0o755)?;
    }
    if top == "etc" {
        for (name, text) in &plan.etc {
            let file = upper.join(name);
            fs::write(&file, text).map_err(step("could not write", &file))?;
            fs::set_permissions(&file, Permissions::from_mode(0o644))
                .map_err(step("could not write", &file))?;
        }
    }
    if top == "usr" {
        place(Path::new("usr/local/bin/herder"), true)?;
        let bin = Path::new("upper/usr/local/bin");
        for name in &plan.names {
            let link = bin.join(name);
            symlink("herder", &link).map_err(step("could not make", &link))?;
        }
    }
    for (target, file) in &plan.targets {
        let relative = target.trim_start_matches('/');
        if Path::new(relative).starts_with(top) && !Path::new(target).exists() {
            place(Path::new(relative), *file)?;
        }
    }
    let extended = if plan.user { ",userxattr" } else { "" };
    let options = format!("lowerdir=/{top},upperdir=upper/{top},workdir=work/{top}{extended}");
    mount(
        Some("overlay"),
        here,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(|errno| step("could not lay an overlay over the machine's", Path::new(top))(errno.into()))
}

/// Makes a mount point in the upper layer, unless the machine has something other than directories on the way.
fn place(relative: &Path, file: bool) -> Result<(), RootError> {
    let mut so_far = PathBuf::new();
    let parts: Vec<Component<'_>> = relative.components().collect();
    for (index, part) in parts.iter().enumerate() {
        let Component::Normal(name) = part else {
            return Ok(());
        };
        so_far.push(name);
        let machine = Path::new("/").join(&so_far);
        if fs::symlink_metadata(&machine).is_ok_and(|meta| !meta.is_dir()) {
            return Ok(());
        }
        let upper = Path::new("upper").join(&so_far);
        if file && index + 1 == parts.len() {
            fs::write(&upper, "").map_err(step("could not make", &upper))?;
        } else {
            make_dir(&upper, 0o755)?;
        }
    }
    Ok(())
}

fn bind_binary(plan: &RootPlan) -> Result<(), RootError> {
    let target = Path::new("root/usr/local/bin/herder");
    let bind = |flags| mount(Some(&plan.binary), target, None::<&str>, flags, None::<&str>);
    bind(MsFlags::MS_BIND)
        .map_err(|errno| step("could not put the herder binary at", target)(errno.into()))?;
    // A user's bind keeps the flags of the mount it comes from, and may not clear any; the layer is private anyway.
    if let Err(errno) = bind(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY) {
        tracing::debug!(%errno, "the herder binary stays writable");
    }
    Ok(())
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), RootError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other.map_err(step("could not make", dir))?,
    }
    // Not through create_dir's mode: the umask would have its say.
    fs::set_permissions(dir, Permissions::from_mode(mode)).map_err(step("could not make", dir))
}

fn inside(path: &str) -> PathBuf {
    let mut out = PathBuf::from("root");
    for part in Path::new(path).components() {
        if let Component::Normal(name) = part {
            out.push(name);
        }
    }
    out
}
