//! The demo: an example organisation and the story it plays, through the same doors that users have.
//!
//! Scenes talk to the running platform only by its public contract: `endpoints.json`, HTTP APIs and git commits.

mod context;
mod estate;
mod http;
mod organisation;
mod report;
mod scenes;

use crate::commands::demo::Args;
use crate::commands::up::{interrupted, print_endpoints, program};
use anyhow::{Context as _, Result, bail};
use context::Context;
use herder_server::Options;
use report::{Progress, Report};
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes the organisation if it is not there, starts the platform, plays the scenes.
pub(crate) async fn play(dir: &Path, json: bool, args: Args) -> Result<()> {
    let fresh = !dir.join("repos").exists();
    if !fresh && args.once {
        bail!(
            "{} holds an earlier demo: name another directory with --dir, or delete it",
            dir.display()
        );
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let dir = dir
        .canonicalize()
        .with_context(|| format!("cannot resolve {}", dir.display()))?;
    let progress = Progress::new(!json);
    let organisation = organisation::Organisation::at(&dir.join("repos"), args.estate.as_deref());
    if fresh {
        progress.say("writing the example organisation");
        organisation.write().await?;
    }
    let options = Options {
        dir: dir.clone(),
        fleet: organisation.url("fleet"),
        branch: "main".to_owned(),
        nodes: usize::from(args.nodes),
        listen: args.listen.resolve(),
        program: program()?,
        poll: Duration::from_secs(5),
    };
    let started = Instant::now();
    progress.say("starting the platform");
    let mut context = Context::start(options, organisation).await?;
    let mut report = Report::default();
    report.ready(context.first_ready(&progress).await?, started.elapsed());
    if !json && !args.once {
        print_endpoints(context.endpoints(), &context.token());
    }
    let story = async {
        for scene in scenes::ALL
            .iter()
            .filter(|scene| args.scenes.is_empty() || args.scenes.iter().any(|name| name == scene.name))
        {
            progress.say(scene.title);
            let began = Instant::now();
            let result = scene.play(&mut context).await;
            progress.scene(scene.name, scene.title, &result, began.elapsed());
            report.scene(scene.name, scene.title, result, began.elapsed());
        }
    };
    // Ctrl-C in the middle of the story still takes everything down in order.
    let cut_short = tokio::select! {
        () = story => false,
        () = interrupted() => true,
    };
    report.remarks(context.remarks().await);
    if !cut_short && !args.once {
        progress.done();
        if json {
            report.print()?;
        }
        println!("the platform stays up: press Ctrl-C to stop it");
        interrupted().await;
    }
    progress.say("stopping");
    context.stop().await?;
    progress.done();
    if cut_short {
        bail!("interrupted; everything has been stopped");
    }
    if args.once {
        report.left_behind(&dir);
        if json {
            report.print()?;
        } else {
            report.summary();
        }
        if !report.ok() {
            return Err(crate::output::Exit(1).into());
        }
    }
    Ok(())
}
