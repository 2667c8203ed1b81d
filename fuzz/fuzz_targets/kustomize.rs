//! Any files, parted by NUL (the directory to build, then path and text in turn): no panic, no hang; what is built is
//! the same every time, and YAML.
#![no_main]
use herder_kustomize::{NoRemotes, Options, Tree, build};
use herder_object::yaml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parts: Vec<&str> = text.split('\0').collect();
    let Some((dir, files)) = parts.split_first() else {
        return;
    };
    let files = files.chunks_exact(2).map(|file| (file[0], file[1]));
    let Ok(tree) = Tree::from_texts(files) else {
        return;
    };
    let run = || build(&tree, dir, &Options::default(), &NoRemotes).map(|built| built.to_yaml());
    if let Ok(printed) = run() {
        assert_eq!(run().ok().as_ref(), Some(&printed));
        let (_, errors) = yaml::parse(&printed);
        assert!(errors.is_empty(), "{errors:?}\n{printed}");
    }
});
