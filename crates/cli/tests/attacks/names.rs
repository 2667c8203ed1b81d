//! Names that become paths, files, interfaces and control groups.

mod links {
    //! Symbolic links of the image and of volumes, which the machine must not follow.

    use crate::attacked::{Cluster, Dir, as_both};
    use serde_json::json;

    #[test]
    fn links_lead_nowhere_on_the_machine() {
        as_both(|who| {
            let dir = Dir::new("links");
            let cluster = Cluster::start(who, &dir, 1);
            cluster.deployer("shop");

            // `/var/run` is a link to `/run`: the machine's, for who assembles the container from outside.
            let marker = format!("herder-attack-{}", std::process::id());
            let more = json!({"spec": {"containers": [{"workingDir": format!("/var/run/{marker}")}]}});
            let said = cluster.script("shop", "made", "pwd -P", &more);
            let made = std::path::Path::new("/run").join(&marker);
            let outside = made.exists();
            drop(std::fs::remove_dir(&made));
            assert!(!outside, "{who:?}: a pod made a directory on the machine");
            assert_eq!(said.out, format!("/run/{marker}\n"), "{said:?}");

            // A link in a volume, made by an earlier container, to be mounted by a later one.
            let more = json!({"spec": {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [{"name": "i", "image": "host", "command": ["ln", "-s", "/etc", "/v/out"],
                                    "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "out"}]}]}});
            let said = cluster.script("shop", "sub", "ls /v", &more);
            assert!(
                !said.ok && said.err.contains("leads out of the volume"),
                "{who:?}: {said:?}"
            );
        });
    }
}
