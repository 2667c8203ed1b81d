//! Several processes, torn writes, pruning; images there and back.

use super::*;
use crate::archive::{import, import_dir};
use crate::build::{Build, Copy, build};
use crate::save::save;
use crate::spec::{Descriptor, LAYER_GZIP};
use jiff::Timestamp;
use std::collections::HashSet;
use std::io::Write as _;

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn made(store: &Store, dir: &Path, tag: &str, text: &str) -> Descriptor {
    let file = dir.join(format!("file-{}", text.len()));
    fs::write(&file, text).unwrap();
    let what = Build {
        copies: vec![Copy {
            source: file,
            target: "/app/file".into(),
        }],
        entrypoint: Some(vec!["/app/file".to_owned()]),
        ..Build::default()
    };
    build(store, &what, &name(tag), Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn built_saved_imported_and_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("one")).unwrap();
    let built = made(&store, dir.path(), "shop:1", "hello");
    assert_eq!(made(&store, dir.path(), "shop:1", "hello").digest, built.digest);
    let mut archive = Vec::new();
    save(&store, &[name("shop:1")], &mut archive).unwrap();
    let other = Store::open(dir.path().join("two")).unwrap();
    let got = import(
        &other,
        archive.as_slice(),
        None,
        Some("images"),
        Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!((&got[0].name, &got[0].manifest), (&name("shop:1"), &built.digest));
    let image = other.take_up(&name("shop:1")).unwrap();
    assert_eq!(image.file("/app/file").unwrap(), b"hello");
    assert_eq!(image.config.config.entrypoint, ["/app/file"]);
    assert_eq!(image.file("/app/none"), None);
    // As a folder, and compressed.
    let layout = dir.path().join("layout");
    fs::create_dir(&layout).unwrap();
    crate::unpack::unpack(archive.as_slice(), &layout, None, &Bounds::default()).unwrap();
    let third = Store::open(dir.path().join("three")).unwrap();
    import_dir(
        &third,
        &layout,
        Some(&name("other:2")),
        None,
        Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    assert!(third.find(&name("other:2")).unwrap().is_some());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    import(
        &third,
        gzip.finish().unwrap().as_slice(),
        None,
        None,
        Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    assert!(third.verify().unwrap().is_empty());
    // Torn, at any place: refused, and nothing gets a name.
    for cut in [700, 2000, archive.len() / 2, archive.len() - 3000] {
        let fourth = Store::open(dir.path().join(format!("cut{cut}"))).unwrap();
        assert!(
            import(&fourth, &archive[..cut], None, None, Timestamp::UNIX_EPOCH).is_err(),
            "{cut}"
        );
        assert!(fourth.names().unwrap().is_empty());
        assert_eq!(fs::read_dir(fourth.dir().join("layers")).unwrap().count(), 0);
    }
}

#[test]
fn wrong_bytes_have_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let wanted = Descriptor::of(LAYER_GZIP, b"right");
    let mut blob = store.write_blob(100).unwrap();
    blob.write_all(b"wrong").unwrap();
    assert!(matches!(
        blob.finish(Some(&wanted.digest)),
        Err(StoreError::Digest { .. })
    ));
    let mut part = store.continue_blob(&wanted).unwrap().unwrap();
    part.add(b"rig").unwrap();
    drop(part);
    // The next one continues.
    let mut part = store.continue_blob(&wanted).unwrap().unwrap();
    assert_eq!(part.bytes(), 3);
    assert!(matches!(
        part.add(b"htttt"),
        Err(StoreError::Size { found: 8, .. })
    ));
    part.add(b"ht").unwrap();
    part.finish().unwrap();
    assert!(store.has(&wanted.digest) && store.continue_blob(&wanted).unwrap().is_none());
    let other = Descriptor::of(LAYER_GZIP, b"other");
    let mut part = store.continue_blob(&other).unwrap().unwrap();
    part.add(b"wrong").unwrap();
    assert!(matches!(part.finish(), Err(StoreError::Digest { .. })));
    assert_eq!(
        store.continue_blob(&other).unwrap().unwrap().bytes(),
        0,
        "forgotten"
    );
    let mut bounded = store.write_blob(3).unwrap();
    assert!(bounded.write_all(b"four").is_err());
    drop(bounded);
    // A document that was changed on the disk is not read.
    let document = store.put(LAYER_GZIP, b"{}").unwrap();
    fs::write(store.blob_path(&document.digest), b"[]").unwrap();
    assert!(matches!(
        store.document(&document.digest),
        Err(StoreError::Digest { .. })
    ));
    assert_eq!(store.verify().unwrap().len(), 1);
}

#[test]
fn pruning_keeps_what_is_pinned_named_or_held() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("s")).unwrap();
    for (tag, text) in [
        ("pinned:1", "p"),
        ("named:1", "nn"),
        ("held:1", "hhh"),
        ("old:1", "oooo"),
    ] {
        made(&store, dir.path(), tag, text);
    }
    let target = store.find(&name("pinned:1")).unwrap().unwrap().target;
    store
        .name(&name("pinned:1"), &target, Some("k3s"), Timestamp::UNIX_EPOCH)
        .unwrap();
    let image = store.take_up(&name("held:1")).unwrap();
    let adding = store.adding().unwrap();
    let keep = Keep {
        names: HashSet::from([name("named:1").to_string()]),
        unused: true,
        enough: None,
    };
    assert!(matches!(store.prune(&keep), Err(StoreError::Busy)));
    drop(adding);
    let pruned = store.prune(&keep).unwrap();
    assert_eq!(pruned.names, [name("old:1").to_string()]);
    assert!(pruned.bytes > 0 && pruned.objects >= 3);
    assert_eq!(image.file("app/file").unwrap(), b"hhh");
    drop(image);
    assert_eq!(store.prune(&keep).unwrap().names, [name("held:1").to_string()]);
    for tag in ["pinned:1", "named:1"] {
        store.take_up(&name(tag)).unwrap();
    }
    assert!(store.verify().unwrap().is_empty());
}

#[test]
fn images_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let layer = store.put(LAYER_GZIP, &[0; 1024]).unwrap();
    let diff = Digest::of(&[0; 1024]);
    let many = vec![layer.clone(); LAYERS + 1];
    let error = store
        .unpack_layers(&many, &vec![diff.clone(); LAYERS + 1])
        .unwrap_err();
    assert!(error.to_string().contains("layers"), "{error}");
    let error = store
        .unpack_layers(std::slice::from_ref(&layer), &[])
        .unwrap_err();
    assert!(error.to_string().contains("its configuration 0"), "{error}");
    let error = store
        .unpack_layers(std::slice::from_ref(&layer), &[Digest::of(b"x")])
        .unwrap_err();
    assert!(matches!(error, StoreError::Layer { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path().join("layers")).unwrap().count(), 0);
    assert_eq!(
        fs::read_dir(dir.path().join("ingest")).unwrap().count(),
        0,
        "nothing is left"
    );
    store
        .unpack_layers(&[layer.clone(), layer], &[diff.clone(), diff])
        .unwrap();
    assert_eq!(
        fs::read_dir(dir.path().join("layers")).unwrap().count(),
        1,
        "once"
    );
}
