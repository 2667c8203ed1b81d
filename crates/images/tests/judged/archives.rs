//! Archives and layouts of other tools: skopeo's, in every form it writes, and umoci's.

use super::{has, ran, skopeo};
use herder_images::{Build, Copy, Reference, Store, StoreError, build, import, import_dir, save};
use jiff::Timestamp;
use std::fs::File;
use std::process::Command;

#[test]
fn skopeo_and_umoci_agree() {
    if !(has("skopeo") & has("umoci")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let shown = at.display();
    let store = Store::open(at.join("store")).unwrap();
    for name in ["a", "b"] {
        std::fs::write(at.join(name), name).unwrap();
    }
    let copy = |name: &str| Copy {
        source: at.join(name),
        target: format!("/srv/{name}").into(),
    };
    let what = Build {
        copies: vec![copy("a"), copy("b")],
        entrypoint: Some(vec!["/srv/a".to_owned()]),
        ..Build::default()
    };
    let name: Reference = "shop:1".parse().unwrap();
    build(&store, &what, &name, Timestamp::UNIX_EPOCH).unwrap();
    save(&store, &[name], File::create(at.join("ours.tar")).unwrap()).unwrap();
    let take = |file: &str| {
        let file = File::open(at.join(file)).unwrap();
        let got = import(&store, file, None, None, Timestamp::UNIX_EPOCH).unwrap();
        store.take_up(&got[0].name).unwrap()
    };
    // Both forms of ours are read by skopeo; each form of its is read by us.
    skopeo(
        &[
            "copy",
            &format!("docker-archive:{shown}/ours.tar"),
            &format!("oci-archive:{shown}/oci.tar:shop/oci:1"),
        ],
        at,
    );
    skopeo(
        &[
            "copy",
            &format!("oci-archive:{shown}/ours.tar"),
            &format!("docker-archive:{shown}/docker.tar:shop/docker:1"),
        ],
        at,
    );
    for file in ["oci.tar", "docker.tar"] {
        let image = take(file);
        assert_eq!(image.file("srv/b").unwrap(), b"b", "{file}");
        assert_eq!(image.config.config.entrypoint, ["/srv/a"], "{file}");
    }
    // umoci changes a file, takes one away, and adds a link; the layer it writes says so to overlays.
    skopeo(
        &[
            "copy",
            &format!("oci-archive:{shown}/ours.tar"),
            &format!("oci:{shown}/layout:old"),
        ],
        at,
    );
    let bundle = at.join("bundle");
    let mut umoci = Command::new("umoci");
    ran(umoci
        .args(["unpack", "--rootless", "--image"])
        .arg(format!("{shown}/layout:old"))
        .arg(&bundle));
    let srv = bundle.join("rootfs/srv");
    std::fs::write(srv.join("a"), "changed").unwrap();
    std::fs::remove_file(srv.join("b")).unwrap();
    std::os::unix::fs::symlink("a", srv.join("c")).unwrap();
    ran(Command::new("umoci")
        .args(["repack", "--image"])
        .arg(format!("{shown}/layout:new"))
        .arg(&bundle));
    skopeo(
        &[
            "copy",
            &format!("oci:{shown}/layout:new"),
            &format!("oci:{shown}/one:shop/umoci:2"),
        ],
        at,
    );
    let got = import_dir(&store, &at.join("one"), None, None, Timestamp::UNIX_EPOCH).unwrap();
    let image = store.take_up(&got[0].name).unwrap();
    assert_eq!(image.file("srv/a").unwrap(), b"changed");
    assert_eq!(image.file("srv/b"), None, "taken away");
    assert!(
        std::fs::symlink_metadata(image.layers.last().unwrap().join("srv/c"))
            .unwrap()
            .is_symlink()
    );
    assert!(store.verify().unwrap().is_empty());
    let missing: Reference = "shop/none:1".parse().unwrap();
    assert!(matches!(store.take_up(&missing), Err(StoreError::Unknown(_))));
}
