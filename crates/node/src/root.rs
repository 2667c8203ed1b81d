//! The root of a container. What all of them have; and that of a `host` container, assembled from the machine: overlays whose changes are thrown away, everything else
//! empty. Runs in the launcher's own mount namespace; nothing it mounts is seen anywhere else.

use super::launch::{LATE, RootPlan, late};
use super::mounts::{self, Detached, Forbids};
use super::root_image;
use nix::mount::{MsFlags, mount};
use nix::unistd::{Gid, Uid, chown, setfsgid, setfsuid};
use pathrs::flags::OpenFlags;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
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

pub(super) fn step<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RootError + 'a {
    move |source| RootError::Step {
        what,
        path: path.display().to_string(),
        source,
    }
}

/// The machine's directories and the agent's volumes, as a container will see them.
#[derive(Debug)]
pub(crate) struct Views {
    lowers: Vec<(&'static str, Option<Detached>)>,
    layers: Vec<Detached>,
    /// For containers of the machine's own programs.
    binary: Option<Detached>,
    binds: Vec<(Detached, bool)>,
    system: Option<Detached>,
}

/// Opens everything that will be mounted. To be called in the agent's mount namespace: from another one its descriptors
/// cannot be mounted.
pub(crate) fn views(plan: &RootPlan) -> Result<Views, RootError> {
    let users = plan
        .ids
        .as_ref()
        .map(|ids| mounts::users(&ids.users).map_err(step("could not open", Path::new(&ids.users))))
        .transpose()?;
    let users = users.as_ref().map(OwnedFd::as_fd);
    let mut lowers = Vec::new();
    let layers = root_image::views(plan, users)?;
    let tops = if plan.image.is_some() {
        &[][..]
    } else {
        &FROM_MACHINE
    };
    for top in tops {
        let machine = Path::new("/").join(top);
        let real = fs::symlink_metadata(&machine).is_ok_and(|meta| meta.is_dir());
        if let (true, Some(users)) = (real, users) {
            let view = Detached::of(&machine, false).map_err(step("could not open", &machine))?;
            // Where the file system refuses, its files are nobody's, and readable as far as everyone may read them;
            // the node says so in its conditions.
            lowers.push((*top, view.map_ids(users, false).is_ok().then_some(view)));
        }
    }
    let binary = plan.image.is_none().then(|| {
        let binary = Detached::of(&plan.binary, false).map_err(step("could not open", &plan.binary))?;
        let closed = Forbids {
            writing: true,
            set_id: true,
            devices: true,
            running: false,
        };
        binary
            .forbid(closed, false)
            .map_err(step("could not protect", &plan.binary))?;
        Ok(binary)
    });
    let mut binds = Vec::new();
    for bind in &plan.binds {
        let target = Path::new(&bind.target);
        let dir = fs::metadata(&bind.source)
            .map_err(step("could not open what goes to", target))?
            .is_dir();
        let view = Detached::of(&bind.source, bind.deep && dir)
            .map_err(step("could not open what goes to", target))?;
        if let Some(users) = users {
            view.map_ids(users, bind.deep && dir).map_err(step(
                "the file system cannot show the pod's ids (it would need idmapped mounts; use another one, or \
                 `hostUsers: true` in a privileged namespace) of what goes to",
                target,
            ))?;
        }
        let forbids = Forbids {
            writing: bind.read_only,
            set_id: bind.no_set_id,
            devices: !plan.devices,
            running: false,
        };
        view.forbid(forbids, bind.deep && dir)
            .map_err(step("could not protect", target))?;
        binds.push((view, dir));
    }
    let system = plan.system.then(|| {
        let path = Path::new("/sys");
        // The control groups below are not for pods; an ordinary user is not shown what is beneath them, and gets them.
        let view = Detached::of(path, false)
            .or_else(|_| Detached::of(path, true))
            .map_err(step("could not open", path))?;
        let forbids = Forbids {
            writing: true,
            set_id: true,
            devices: true,
            running: true,
        };
        view.forbid(forbids, true)
            .map_err(step("could not protect", path))?;
        Ok(view)
    });
    Ok(Views {
        lowers,
        layers,
        binary: binary.transpose()?,
        binds,
        system: system.transpose()?,
    })
}

/// Assembles `plan.stage/root`.
pub(crate) fn assemble(plan: &RootPlan, views: Views) -> Result<(), RootError> {
    let stage = plan.stage.as_path();
    let options = format!("mode=0755,size={},nr_inodes=524288", plan.size);
    mount(
        Some("tmpfs"),
        stage,
        Some("tmpfs"),
        flags(plan),
        Some(options.as_str()),
    )
    .map_err(|errno| step("could not mount scratch space on", stage)(errno.into()))?;
    std::env::set_current_dir(stage).map_err(step("could not enter", stage))?;
    if let Some(ids) = &plan.ids {
        let (user, group) = (Uid::from_raw(ids.first), Gid::from_raw(ids.first));
        chown(".", Some(user), Some(group))
            .map_err(|errno| step("could not hand over", stage)(errno.into()))?;
    }
    as_pod(plan, || {
        for dir in ["root", "upper", "work", "lower", LATE] {
            make_dir(Path::new(dir), 0o755)?;
        }
        Ok(())
    })?;
    if plan.image.is_some() {
        root_image::assemble(plan, &views.layers)?;
    } else {
        machine(plan, &views)?;
    }
    devices(plan)?;
    place_all(plan, &views)
}

/// The machine's own directories, each with an overlay, and the rest empty.
fn machine(plan: &RootPlan, views: &Views) -> Result<(), RootError> {
    for top in FROM_MACHINE {
        let machine = Path::new("/").join(top);
        let here = Path::new("root").join(top);
        match fs::symlink_metadata(&machine) {
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&machine).map_err(step("could not read", &machine))?;
                as_pod(plan, || {
                    symlink(target, &here).map_err(step("could not make", &here))
                })?;
            }
            Ok(meta) if meta.is_dir() => {
                let lower = views.lowers.iter().find(|(name, _)| *name == top);
                overlay(plan, top, &here, lower.and_then(|(_, view)| view.as_ref()))?;
            }
            _ => {}
        }
    }
    as_pod(plan, || {
        for (dir, mode) in EMPTY {
            make_dir(&Path::new("root").join(dir), mode)?;
        }
        for (link, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
            let link = Path::new("root").join(link);
            symlink(target, &link).map_err(step("could not make", &link))?;
        }
        Ok(())
    })
}

/// `/dev` before the container runtime fills it: volumes may be mounted in it.
fn devices(plan: &RootPlan) -> Result<(), RootError> {
    let dev = Path::new("root/dev");
    let first = plan.ids.as_ref().map_or(0, |ids| ids.first);
    let options = format!("mode=0755,size=65536k,uid={first},gid={first}");
    // Without any user namespace the runtime makes the nodes here; with one it mounts the machine's.
    let nodes = if plan.ids.is_some() || plan.user {
        MsFlags::MS_NODEV
    } else {
        MsFlags::empty()
    };
    mount(
        Some("tmpfs"),
        dev,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | nodes,
        Some(options.as_str()),
    )
    .map_err(|errno| step("could not mount", dev)(errno.into()))
}

/// Mounts everything inside the root. Whatever symbolic links the image or a volume has, nothing is made or mounted
/// outside of it: the root is these links' `/`.
fn place_all(plan: &RootPlan, views: &Views) -> Result<(), RootError> {
    let here = Path::new("root");
    let refused = |what: &'static str, path: &str| {
        let path = path.to_owned();
        move |error: pathrs::error::Error| RootError::Step {
            what,
            path: path.clone(),
            source: io::Error::other(error),
        }
    };
    let root = pathrs::Root::open(here).map_err(refused("could not open", "root"))?;
    let put = |view: &Detached, at: pathrs::Handle, target: &str| {
        view.attach(OwnedFd::from(at).as_fd())
            .map_err(step("could not mount", Path::new(target)))
    };
    if let Some(binary) = &views.binary {
        let herder = "/usr/local/bin/herder";
        let at = root.resolve(herder).map_err(refused("could not find", herder))?;
        put(binary, at, herder)?;
    }
    if let Some(system) = &views.system {
        let at = root.resolve("/sys").map_err(refused("could not find", "/sys"))?;
        put(system, at, "/sys")?;
    }
    let mode = Permissions::from_mode(0o755);
    for (index, (bind, (view, dir))) in plan.binds.iter().zip(&views.binds).enumerate() {
        let target = bind.target.as_str();
        if late(target) {
            let at = Path::new(LATE).join(index.to_string());
            as_pod(plan, || match dir {
                true => make_dir(&at, 0o755),
                false => fs::write(&at, "").map_err(step("could not make", &at)),
            })?;
            attach(view, &at)?;
            continue;
        }
        let make = || {
            let wrong = || refused("could not make the mount point", target);
            if *dir {
                return root.mkdir_all(target, &mode).map_err(wrong());
            }
            if let Ok(found) = root.resolve(target) {
                return Ok(found);
            }
            if let Some(parent) = Path::new(target).parent() {
                root.mkdir_all(parent, &mode).map_err(wrong())?;
            }
            root.create_file(
                target,
                OpenFlags::O_CREAT | OpenFlags::O_EXCL | OpenFlags::O_CLOEXEC,
                &mode,
            )
            .map_err(wrong())?;
            root.resolve(target).map_err(wrong())
        };
        // An image may have folders that are not its root's.
        let at =
            as_pod(plan, make).or_else(|error| if plan.image.is_some() { make() } else { Err(error) })?;
        put(view, at, target)?;
    }
    if let Some(cwd) = &plan.cwd
        && root.resolve(cwd).is_err()
    {
        let make = || {
            root.mkdir_all(cwd, &mode)
                .map(drop)
                .map_err(refused("could not make the working directory", cwd))
        };
        as_pod(plan, make).or_else(|error| if plan.image.is_some() { make() } else { Err(error) })?;
    }
    Ok(())
}

/// What no file system of a container does.
pub(super) fn flags(plan: &RootPlan) -> MsFlags {
    if plan.devices {
        MsFlags::empty()
    } else {
        MsFlags::MS_NODEV
    }
}

/// Makes files as the pod's root, so that they are the pod's.
pub(super) fn as_pod<T>(
    plan: &RootPlan,
    make: impl FnOnce() -> Result<T, RootError>,
) -> Result<T, RootError> {
    let Some(ids) = &plan.ids else { return make() };
    setfsgid(Gid::from_raw(ids.first));
    setfsuid(Uid::from_raw(ids.first));
    let made = make();
    setfsuid(Uid::from_raw(0));
    setfsgid(Gid::from_raw(0));
    made
}

pub(super) fn attach(view: &Detached, at: &Path) -> Result<(), RootError> {
    let place = mounts::place(at).map_err(step("could not open", at))?;
    view.attach(place.as_fd()).map_err(step("could not mount", at))
}

/// What is put into the upper layer first shows in the overlay, under directories that belong to this process: an
/// ordinary user could not create anything in those of the machine.
fn overlay(plan: &RootPlan, top: &str, here: &Path, lower: Option<&Detached>) -> Result<(), RootError> {
    let lower_dir = match lower {
        Some(view) => {
            let dir = Path::new("lower").join(top);
            as_pod(plan, || make_dir(&dir, 0o755))?;
            attach(view, &dir)?;
            format!("lower/{top}")
        }
        None => format!("/{top}"),
    };
    as_pod(plan, || prepare_upper(plan, top, here))?;
    let extended = if plan.user { ",userxattr" } else { "" };
    let options = format!("lowerdir={lower_dir},upperdir=upper/{top},workdir=work/{top}{extended}");
    mount(
        Some("overlay"),
        here,
        Some("overlay"),
        flags(plan),
        Some(options.as_str()),
    )
    .map_err(|errno| step("could not lay an overlay over the machine's", Path::new(top))(errno.into()))
}

fn prepare_upper(plan: &RootPlan, top: &str, here: &Path) -> Result<(), RootError> {
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
    for bind in &plan.binds {
        let relative = Path::new(bind.target.trim_start_matches('/'));
        if let Some(parent) = relative.parent()
            && parent.starts_with(top)
            && !Path::new(&bind.target).exists()
        {
            place(parent, false)?;
        }
    }
    Ok(())
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

pub(super) fn make_dir(dir: &Path, mode: u32) -> Result<(), RootError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other.map_err(step("could not make", dir))?,
    }
    // Not through create_dir's mode: the umask would have its say.
    fs::set_permissions(dir, Permissions::from_mode(mode)).map_err(step("could not make", dir))
}
