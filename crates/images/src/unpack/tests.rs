//! Hostile layers, a kind each, and what overlays need.

use super::*;
use crate::tar::Writer;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        kind,
        path: path.as_bytes().to_vec(),
        link: Vec::new(),
        size: 0,
        mode: if kind == Kind::Folder { 0o755 } else { 0o644 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: 1,
        xattrs: Vec::new(),
    }
}

fn link(path: &str, to: &str, kind: Kind) -> Entry {
    let mut entry = entry(path, kind);
    entry.link = to.as_bytes().to_vec();
    entry
}

fn file(path: &str, text: &str) -> (Entry, Vec<u8>) {
    let mut entry = entry(path, Kind::File);
    entry.size = u64::try_from(text.len()).unwrap();
    (entry, text.as_bytes().to_vec())
}

fn tar(entries: Vec<(Entry, Vec<u8>)>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, contents) in entries {
        writer.append(&entry, contents.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn bare(entry: Entry) -> (Entry, Vec<u8>) {
    (entry, Vec::new())
}

/// A folder with the layer's folder and something beside it that must stay as it is.
struct Cage {
    dir: tempfile::TempDir,
}

impl Cage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("layer")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/file"), "mine").unwrap();
        Self { dir }
    }

    fn layer(&self) -> std::path::PathBuf {
        self.dir.path().join("layer")
    }

    fn unpack(&self, bytes: &[u8], bounds: &Bounds) -> Result<Unpacked, UnpackError> {
        let result = unpack(bytes, &self.layer(), None, bounds);
        let outside = self.dir.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine");
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 2);
        result
    }

    fn run(&self, entries: Vec<(Entry, Vec<u8>)>) -> Result<Unpacked, UnpackError> {
        self.unpack(&tar(entries), &Bounds::default())
    }
}

fn refused(entries: Vec<(Entry, Vec<u8>)>, says: &str) {
    let error = Cage::new().run(entries).unwrap_err();
    let text = herder_base::chain(&error).to_string();
    assert!(text.contains(says), "{text} says nothing of {says:?}");
}

#[test]
fn absolute_names_begin_at_the_layer() {
    let cage = Cage::new();
    let outside = cage.dir.path().join("outside/file");
    cage.run(vec![file(outside.to_str().unwrap(), "theirs")]).unwrap();
    let inside = cage.layer().join(outside.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(inside).unwrap(), "theirs");
}

#[test]
fn nothing_leads_up() {
    for name in ["../outside/file", "a/../../outside/file", "..", "./.."] {
        refused(vec![file(name, "theirs")], "leads out of the layer");
    }
    refused(
        vec![bare(link("x", "../outside/file", Kind::HardLink))],
        "a link to outside of the layer",
    );
}

#[test]
fn links_are_followed_within_the_layer_only() {
    let cage = Cage::new();
    let outside = cage.dir.path().join("outside");
    cage.run(vec![
        bare(link("abs", outside.to_str().unwrap(), Kind::Symlink)),
        bare(link("up", "../outside", Kind::Symlink)),
        bare(link("deep", "up/../../../outside", Kind::Symlink)),
    ])
    .unwrap();
    for through in ["abs/new", "up/new", "deep/new"] {
        let cage = Cage::new();
        let outside = cage.dir.path().join("outside");
        let made = cage.run(vec![
            bare(link("abs", outside.to_str().unwrap(), Kind::Symlink)),
            bare(link("up", "../outside", Kind::Symlink)),
            bare(link("deep", "up/../../../outside", Kind::Symlink)),
            file(through, "theirs"),
        ]);
        // What the link leads to is not there, within the layer; the cage has looked outside.
        assert!(made.is_err(), "{through}");
    }
    let cage = Cage::new();
    cage.run(vec![
        bare(entry("usr/bin", Kind::Folder)),
        bare(link("bin", "/usr/bin", Kind::Symlink)),
        file("bin/sh", "shell"),
    ])
    .unwrap();
    assert_eq!(
        fs::read_to_string(cage.layer().join("usr/bin/sh")).unwrap(),
        "shell"
    );
}

#[test]
fn files_are_not_written_through_links_of_their_name() {
    let cage = Cage::new();
    let target = cage.dir.path().join("outside/file");
    cage.run(vec![
        bare(link("file", target.to_str().unwrap(), Kind::Symlink)),
        file("file", "theirs"),
        bare(link("hard", "file", Kind::HardLink)),
        file("hard", "other"),
    ])
    .unwrap();
    assert_eq!(fs::read_to_string(cage.layer().join("file")).unwrap(), "theirs");
    // A link to a link is one more link, not a name of what is outside.
    refused(
        vec![
            bare(link("s", target.to_str().unwrap(), Kind::Symlink)),
            bare(link("h", "s/x", Kind::HardLink)),
        ],
        "not in the layer",
    );
    let cage = Cage::new();
    cage.run(vec![
        bare(link("s", target.to_str().unwrap(), Kind::Symlink)),
        bare(link("h", "s", Kind::HardLink)),
        file("h", "theirs"),
    ])
    .unwrap();
    assert!(fs::symlink_metadata(cage.layer().join("h")).unwrap().is_file());
}

#[test]
fn devices_are_left_out_and_set_id_kept() {
    let cage = Cage::new();
    let mut bytes = tar(vec![file("suid", "x")]);
    // The writer writes none: a character device, by hand.
    let mut device = tar(vec![bare(entry("null", Kind::Fifo))]);
    device[156] = b'3';
    device[148..156].fill(b' ');
    let sum: u32 = device[..512].iter().map(|byte| u32::from(*byte)).sum();
    device[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.splice(0..0, device[..512].iter().copied());
    let done = cage.unpack(&bytes, &Bounds::default()).unwrap();
    assert_eq!(done.left_out, 1);
    assert!(!cage.layer().join("null").exists());

    let cage = Cage::new();
    let (mut program, text) = file("su", "x");
    program.mode = 0o4755;
    cage.run(vec![(program, text)]).unwrap();
    let mode = fs::metadata(cage.layer().join("su"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o4755);
}

#[test]
fn attributes_of_overlays_and_of_the_machine_are_dropped() {
    let cage = Cage::new();
    let mut with = entry("d", Kind::Folder);
    for name in [
        "user.overlay.opaque",
        "trusted.overlay.redirect",
        "security.selinux",
        "system.posix_acl_access",
    ] {
        with.xattrs.push((name.as_bytes().to_vec(), b"y".to_vec()));
    }
    with.xattrs.push((b"user.note".to_vec(), b"kept".to_vec()));
    cage.run(vec![bare(with)]).unwrap();
    let found = names_of(&cage.layer().join("d"));
    assert_eq!(found, ["user.note"]);
    let mut many = entry("d", Kind::Folder);
    many.xattrs = (0..100)
        .map(|n| (format!("user.{n}").into_bytes(), vec![1]))
        .collect();
    refused(vec![bare(many)], "too many attributes");
}

fn names_of(path: &Path) -> Vec<String> {
    let mut buffer = vec![0_u8; 4096];
    let count = rustix::fs::listxattr(path, buffer.as_mut_slice()).unwrap();
    buffer[..count]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

#[test]
fn amounts_are_bounded() {
    let small = Bounds {
        entries: 10,
        bytes: 100_000,
        ratio: 50,
        free: 20_000,
        depth: 8,
        left: 0,
    };
    let many = (0..11).map(|n| file(&format!("f{n}"), "")).collect();
    let error = Cage::new().unpack(&tar(many), &small).unwrap_err();
    assert!(matches!(error, UnpackError::Entries(10)), "{error:?}");

    let large = tar(vec![file("f", &"x".repeat(200_000))]);
    let error = Cage::new().unpack(&large, &small).unwrap_err();
    assert!(matches!(error, UnpackError::Bytes(100_000)), "{error:?}");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&tar(vec![file("f", &"x".repeat(90_000))]))
        .unwrap();
    let error = Cage::new().unpack(&gzip.finish().unwrap(), &small).unwrap_err();
    assert!(matches!(error, UnpackError::Ratio(50)), "{error:?}");

    let deep = tar(vec![file(&"d/".repeat(9), "")]);
    let error = Cage::new().unpack(&deep, &small).unwrap_err();
    assert!(error.to_string().contains("too deep"), "{error}");

    let full = Bounds {
        left: u64::MAX,
        ..Bounds::default()
    };
    let large = tar(vec![file("f", &"x".repeat(17 << 20))]);
    let error = Cage::new().unpack(&large, &full).unwrap_err();
    assert!(matches!(error, UnpackError::Full(_)), "{error:?}");
}

#[test]
fn what_is_promised_is_checked() {
    let cage = Cage::new();
    let bytes = tar(vec![file("f", "x")]);
    let wanted = Digest::of(b"something else");
    let error = unpack(bytes.as_slice(), &cage.layer(), Some(&wanted), &Bounds::default()).unwrap_err();
    assert!(matches!(error, UnpackError::Other { .. }), "{error:?}");
    let own = Digest::of(&bytes);
    let cage = Cage::new();
    unpack(bytes.as_slice(), &cage.layer(), Some(&own), &Bounds::default()).unwrap();
    // Torn, in the middle of a file.
    let torn = tar(vec![file("f", &"x".repeat(3000))]);
    let error = Cage::new().unpack(&torn[..1500], &Bounds::default()).unwrap_err();
    assert!(
        herder_base::chain(&error).to_string().contains("torn"),
        "{error:?}"
    );
}

#[test]
fn strange_names_are_refused() {
    let long = "x".repeat(300);
    refused(vec![file(&long, "")], "too long");
    refused(vec![file(".wh.", "")], "takes away nothing");
    refused(vec![file("a/.wh...", "")], "takes away nothing");
    refused(vec![bare(link("/", "x", Kind::Symlink))], "the root");
    refused(
        vec![bare(entry("d/e", Kind::Folder)), file("d", "x")],
        "could not be made",
    );
}

#[test]
fn what_is_taken_away_is_so_for_overlays() {
    let cage = Cage::new();
    cage.run(vec![
        file("etc/.wh.passwd", ""),
        file("var/.wh..wh..opq", ""),
        file("opt/tool/file", "x"),
        file("opt/.wh.tool", ""),
        file(".wh.srv", ""),
        bare(entry("srv", Kind::Folder)),
        file(".wh..wh.plnk", ""),
        file("both", "stays"),
        file(".wh.both", ""),
    ])
    .unwrap();
    let layer = cage.layer();
    let gone = fs::symlink_metadata(layer.join("etc/passwd")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for opaque in ["var", "opt/tool", "srv"] {
        let names = names_of(&layer.join(opaque));
        assert!(
            names.iter().any(|name| name == "user.overlay.opaque"),
            "{opaque}: {names:?}"
        );
    }
    assert_eq!(fs::read_to_string(layer.join("both")).unwrap(), "stays");
    assert!(!layer.join(".wh..wh.plnk").exists());
}

#[test]
fn modes_and_times_are_the_layers() {
    let cage = Cage::new();
    let mut secret = entry("d", Kind::Folder);
    secret.mode = 0o1777;
    let mut closed = entry("closed", Kind::Folder);
    closed.mode = 0o555;
    cage.run(vec![
        bare(secret),
        bare(closed),
        file("d/f", "x"),
        file("closed/f", "x"),
        bare(link("l", "nowhere", Kind::Symlink)),
    ])
    .unwrap();
    let meta = |name: &str| fs::symlink_metadata(cage.layer().join(name)).unwrap();
    assert_eq!(meta("d").permissions().mode() & 0o7777, 0o1777);
    for name in ["d", "d/f", "l", "closed"] {
        assert_eq!(meta(name).mtime(), 1, "{name}");
    }
}

proptest::proptest! {
    /// Whatever comes: an answer, and nothing outside.
    #[test]
    fn anything_is_contained(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000), at in 0_usize..2000) {
        let cage = Cage::new();
        let mut layer = tar(vec![
            bare(link("a", "../outside", Kind::Symlink)),
            file("a/file", "x"),
            file("b/../c", "y"),
        ]);
        for (place, byte) in layer.iter_mut().skip(at).zip(&bytes) {
            *place ^= byte;
        }
        drop(cage.unpack(&layer, &Bounds::default()));
        drop(cage.unpack(&bytes, &Bounds::default()));
    }
}
