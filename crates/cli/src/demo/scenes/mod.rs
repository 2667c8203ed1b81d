//! The ten scenes. Each is one file with one function that either shows its evidence or says what did not hold.

mod bootstrap;
mod cattle;
mod deploy;
mod developers;
mod estate;
mod front_door;
mod recreate;
mod secrets;
mod stages;
mod upstairs;

use super::context::Context;
use anyhow::Result;
use futures::future::BoxFuture;
use serde_json::Value;

/// One scene.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    play: for<'a> fn(&'a mut Context) -> BoxFuture<'a, Result<Value>>,
}

impl Scene {
    pub(crate) async fn play(&self, context: &mut Context) -> Result<Value> {
        (self.play)(context).await
    }
}

macro_rules! scene {
    ($name:literal, $title:literal, $module:ident) => {
        Scene {
            name: $name,
            title: $title,
            play: |context| Box::pin($module::play(context)),
        }
    };
}

/// All scenes, in the order in which they build on each other.
pub(crate) const ALL: &[Scene] = &[
    scene!(
        "bootstrap",
        "one hardcoded job creates all others from git",
        bootstrap
    ),
    scene!("deploy", "a commit is built in a pod and rolled out", deploy),
    scene!(
        "stages",
        "one version moves from testing to production, only config differs",
        stages
    ),
    scene!(
        "secrets",
        "git holds paths, pods get secrets and certificates",
        secrets
    ),
    scene!("cattle", "a node dies under load and no request is lost", cattle),
    scene!(
        "front-door",
        "host name and path lead to live pods, HTTP and HTTPS",
        front_door
    ),
    scene!(
        "developers",
        "an environment comes, works and goes without a trace",
        developers
    ),
    scene!("estate", "a folder per namespace, unknown kinds and all", estate),
    scene!(
        "upstairs",
        "a broken image, a crash loop, a missing secret: each shows its cause",
        upstairs
    ),
    scene!(
        "recreate",
        "delete everything and bring it back from git",
        recreate
    ),
];
