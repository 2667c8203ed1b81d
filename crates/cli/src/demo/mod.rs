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
use crate::failing::Failing;
use anyhow::{Context as _, Result, bail};
use context::Context;
use herder_server::Options;
use report::{Progress, Report};
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes the organisation if it is not there, starts the platform, plays the scenes.
pub(crate) async fn play(dir: &Path, json: bool, args: Args) -> Result<()> {
    // Repositories that were being written when an earlier demo was cut off are written anew.
    let unfinished = dir.join("repos.unfinished");
    if unfinished.exists() {
        let half = dir.join("repos");
        if half.exists() {
            std::fs::remove_dir_all(&half).with_context(|| format!("cannot remove {}", half.display()))?;
        }
    }
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
    let unfinished = dir.join("repos.unfinished");
    let progress = Progress::new(!json);
    if let Some(name) = args
        .scenes
        .iter()
        .find(|name| scenes::ALL.iter().all(|scene| scene.name != **name))
    {
        let known = scenes::ALL.iter().map(|scene| scene.name);
        let failing = Failing::unknown(format!("there is no scene `{name}`"), name, known);
        return Err(failing.into());
    }
    let organisation = organisation::Organisation::at(&dir.join("repos"), args.estate.as_deref());
    // Asked for once, so that it is heard at any moment from here on.
    let mut stop = std::pin::pin!(interrupted());
    if fresh {
        progress.say("writing the example organisation");
        std::fs::write(&unfinished, "").with_context(|| format!("cannot write {}", unfinished.display()))?;
        tokio::select! {
            written = organisation.write() => written?,
            () = &mut stop => bail!("interrupted; nothing had been started"),
        }
        std::fs::remove_file(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let options = Options {
        dir: dir.clone(),
        fleet: organisation.url("fleet").into(),
        branch: "main".to_owned(),
        nodes: usize::from(args.nodes),
        listen: args.listen.resolve(),
        vault: args.vault.resolve()?,
        program: program()?,
        poll: Duration::from_secs(5),
        dashboard_urls: Vec::new(),
        unsigned_webhooks: false,
        resume: false,
    };
    let started = Instant::now();
    progress.say("starting the platform");
    let (mut context, mut cut_short) = {
        let mut start = std::pin::pin!(Context::start(options, organisation));
        tokio::select! {
            context = &mut start => (context?, false),
            // A start takes seconds, and only what has started can be stopped in order.
            () = &mut stop => (start.await?, true),
        }
    };
    if !args.once {
        crate::contexts::remember(&dir);
    }
    let mut report = Report::default();
    let mut ready = Ok(());
    if !cut_short {
        let story = tell(&mut context, &mut report, &progress, &args, json, started);
        tokio::select! {
            told = story => ready = told,
            () = &mut stop => cut_short = true,
        }
        report.remarks(context.remarks().await);
    }
    if !cut_short && !args.once {
        if let Err(error) = &ready {
            eprintln!("not everything is healthy: {error:#}");
        }
        progress.done();
        if json {
            report.print()?;
        }
        println!("the platform stays up: press Ctrl-C to stop it");
        stop.await;
    }
    progress.say("stopping (press Ctrl-C again to stop at once)");
    tokio::select! {
        stopped = context.stop() => stopped?,
        () = interrupted() => bail!("stopped before everything had ended"),
    }
    progress.done();
    if cut_short {
        bail!("interrupted; everything has been stopped");
    }
    if args.once {
        ready?;
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

/// Waits until everything is healthy for the first time, then plays the scenes.
async fn tell(
    context: &mut Context,
    report: &mut Report,
    progress: &Progress,
    args: &Args,
    json: bool,
    started: Instant,
) -> Result<()> {
    if !json && !args.once {
        print_endpoints(context.endpoints(), &context.login_link().await?);
    }
    report.ready(context.first_ready(progress).await?, started.elapsed());
    let chosen =
        |scene: &&scenes::Scene| args.scenes.is_empty() || args.scenes.iter().any(|name| name == scene.name);
    for scene in scenes::ALL.iter().filter(chosen) {
        progress.say(scene.title);
        let began = Instant::now();
        let result = scene.play(context).await;
        progress.scene(scene.name, scene.title, &result, began.elapsed());
        report.scene(scene.name, scene.title, result, began.elapsed());
    }
    Ok(())
}
