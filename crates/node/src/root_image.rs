//! The root of a container that runs from an image: one overlay of its layers, whose changes are thrown away. The image is
//! a stranger's: nothing of it is followed out of the root.

use super::launch::RootPlan;
use super::mounts::{self, Detached};
use super::root::{RootError, as_pod, attach, flags, make_dir, step};
use nix::mount::mount;
use nix::unistd::{Gid, Uid, fchown};
use pathrs::flags::OpenFlags;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where layers are attached: a short name, because all of them have to fit into one page.
const LAYERS: &str = "l";
/// What a container needs as folders, and what comes there is mounted.
const NEEDED: [(&str, u32); 4] = [("dev", 0o755), ("proc", 0o555), ("sys", 0o555), ("tmp", 0o1777)];

/// Opens the layers, in the agent's mount namespace, with files' owners as the pod counts.
pub(super) fn views(plan: &RootPlan, users: Option<BorrowedFd<'_>>) -> Result<Vec<Detached>, RootError> {
    let view = |layer: &std::path::PathBuf| {
        let view = Detached::of(layer, false).map_err(step("could not open the image's layer", layer))?;
        if let Some(users) = users {
            view.map_ids(users, false).map_err(step(
                "the file system cannot show the pod's ids (it would need idmapped mounts; keep the data directory on \
                 another one, or `hostUsers: true` in a privileged namespace) of the image's layer",
                layer,
            ))?;
        }
        Ok(view)
    };
    plan.image.iter().flatten().map(view).collect()
}

/// Mounts the overlay on `root`, and puts in what is the pod's.
pub(super) fn assemble(plan: &RootPlan, layers: &[Detached]) -> Result<(), RootError> {
    as_pod(plan, || {
        make_dir(Path::new(LAYERS), 0o755)?;
        // An overlay has something below, also where the image has nothing.
        for index in 0..layers.len().max(1) {
            make_dir(&Path::new(LAYERS).join(index.to_string()), 0o755)?;
        }
        Ok(())
    })?;
    for (index, view) in layers.iter().enumerate() {
        attach(view, &Path::new(LAYERS).join(index.to_string()))?;
    }
    // The highest comes first.
    let lower: Vec<String> = (0..layers.len().max(1))
        .rev()
        .map(|index| format!("{LAYERS}/{index}"))
        .collect();
    let extended = if plan.user { ",userxattr" } else { "" };
    let options = format!(
        "lowerdir={},upperdir=upper,workdir=work{extended}",
        lower.join(":")
    );
    let here = Path::new("root");
    mount(
        Some("overlay"),
        here,
        Some("overlay"),
        flags(plan),
        Some(options.as_str()),
    )
    .map_err(|errno| step("could not lay an overlay over the image on", here)(errno.into()))?;
    for (name, mode) in NEEDED {
        let path = here.join(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            // Mounting on it would be mounting on whatever it leads to.
            Ok(_) => {
                let error = io::Error::other("it is no folder in the image");
                return Err(step("could not use", &path)(error));
            }
            Err(_) => {
                make_dir(&path, mode)?;
                own(plan, &path)?;
            }
        }
    }
    etc(plan, here)
}

fn own(plan: &RootPlan, path: &Path) -> Result<(), RootError> {
    let place = mounts::beneath(
        mounts::place(Path::new("."))
            .map_err(step("could not open", path))?
            .as_fd(),
        path,
        nix::fcntl::OFlag::O_RDONLY,
        false,
    )
    .map_err(step("could not open", path))?;
    hand_over(plan, place.as_fd(), path)
}

fn hand_over(plan: &RootPlan, file: BorrowedFd<'_>, path: &Path) -> Result<(), RootError> {
    match &plan.ids {
        Some(ids) => fchown(
            file,
            Some(Uid::from_raw(ids.first)),
            Some(Gid::from_raw(ids.first)),
        )
        .map_err(|errno| step("could not hand over", path)(errno.into())),
        None => Ok(()),
    }
}

/// Names and resolvers are the pod's, whatever the image has in their place.
fn etc(plan: &RootPlan, here: &Path) -> Result<(), RootError> {
    let refused = |what: &'static str, path: &str| {
        let path = path.to_owned();
        move |error: pathrs::error::Error| step(what, Path::new(&path))(io::Error::other(error))
    };
    let root = pathrs::Root::open(here).map_err(refused("could not open", "root"))?;
    root.mkdir_all("/etc", &Permissions::from_mode(0o755))
        .map_err(refused("could not make", "/etc"))?;
    for (name, text) in &plan.etc {
        let path = format!("/etc/{name}");
        if root.resolve_nofollow(&path).is_ok() {
            root.remove_all(&path)
                .map_err(refused("could not take away the image's", &path))?;
        }
        let flags = OpenFlags::O_CREAT | OpenFlags::O_EXCL | OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
        let mut file = root
            .create_file(&path, flags, &Permissions::from_mode(0o644))
            .map_err(refused("could not make", &path))?;
        let cannot = step("could not write", Path::new(&path));
        file.write_all(text.as_bytes())
            .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
            .map_err(&cannot)?;
        hand_over(plan, file.as_fd(), Path::new(&path))?;
    }
    Ok(())
}
