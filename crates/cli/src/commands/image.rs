//! `herder image`: the images of a data directory. Works with and without a herder that runs there: both use the same
//! store at the same time.

use crate::args::Global;
use crate::output::table;
use crate::platform::default_dir;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use herder_base::{Clock, SystemClock};
use herder_images::{Build, Client, Copy, Credentials, Keep, Named, Reference, Registries, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Arguments of `herder image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List images
    #[command(alias = "list")]
    Ls,
    /// Fetch images from registries: mirrors by DIR/registries.yaml, credentials by docker's configuration
    Pull {
        /// The images
        #[arg(required = true)]
        images: Vec<Reference>,
        /// Who one is, instead of what docker's configuration says; the password comes from standard input
        #[arg(short, long)]
        username: Option<String>,
    },
    /// Send an image to a registry
    Push {
        /// The image
        image: Reference,
        /// Under this name there; else under its own
        to: Option<Reference>,
        /// Who one is, instead of what docker's configuration says; the password comes from standard input
        #[arg(short, long)]
        username: Option<String>,
    },
    /// Take images from archives and folders: docker save, podman save, skopeo, OCI layouts, compressed or not
    #[command(alias = "load")]
    Import {
        /// Archives, OCI layouts, or `-` for standard input
        #[arg(required = true)]
        from: Vec<PathBuf>,
        /// Name for the image, where the archive has one image
        #[arg(short, long)]
        tag: Option<Reference>,
        /// Never remove it to make room
        #[arg(long)]
        pin: bool,
    },
    /// Make an image of files, without running anything
    Build(BuildArgs),
    /// Write images as an archive that docker, podman, skopeo and containerd read
    Save {
        /// The images
        #[arg(required = true)]
        images: Vec<Reference>,
        /// Where to write; standard output without
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Print an image's manifest and configuration
    Inspect {
        /// The image
        image: Reference,
    },
    /// Take names away; what nothing else needs goes with them
    #[command(alias = "rmi")]
    Rm {
        /// The images
        #[arg(required = true)]
        images: Vec<Reference>,
    },
    /// Remove what no name stands for; with --all also images that nothing runs
    Prune {
        /// Also images that are neither pinned nor run by anything
        #[arg(short, long)]
        all: bool,
    },
    /// Read everything again and say what is damaged
    Verify,
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// The image to start from; `scratch` is nothing
    #[arg(long, default_value = "scratch")]
    from: String,
    /// A file or folder, and where it goes (ending in `/`: into that folder)
    #[arg(long, value_name = "SOURCE:TARGET", value_parser = copy)]
    copy: Vec<Copy>,
    /// The program; a JSON list for one with arguments
    #[arg(long, value_parser = words)]
    entrypoint: Option<Words>,
    /// Its arguments; a JSON list for several
    #[arg(long, value_parser = words)]
    cmd: Option<Words>,
    /// A variable of its environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// Who it runs as: a name or id, with `:group` if wanted
    #[arg(long)]
    user: Option<String>,
    /// Where it starts
    #[arg(long)]
    workdir: Option<String>,
    /// A note
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    label: Vec<String>,
    /// Owner of what is copied
    #[arg(long, value_name = "UID:GID", default_value = "0:0", value_parser = owner)]
    chown: (u32, u32),
    /// Its name
    #[arg(short, long)]
    tag: Reference,
    /// Send it to the registry that its name says
    #[arg(long)]
    push: bool,
}

#[derive(Debug, Clone)]
struct Words(Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map(Words)
            .map_err(|error| format!("no JSON list of texts: {error}"));
    }
    Ok(Words(vec![text.to_owned()]))
}

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("NAME=VALUE is wanted".to_owned()),
    }
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let wrong = |_| "two numbers with a colon between them are wanted".to_owned();
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Ok((user.parse().map_err(wrong)?, group.parse().map_err(wrong)?))
}

fn copy(text: &str) -> Result<Copy, String> {
    match text.rsplit_once(':') {
        Some((source, target)) if !source.is_empty() && target.starts_with('/') => Ok(Copy {
            source: source.into(),
            target: target.into(),
        }),
        _ => Err("SOURCE:TARGET is wanted, TARGET an absolute path in the image".to_owned()),
    }
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let dir = crate::locate::dir(global)
        .unwrap_or_else(default_dir)
        .join("images");
    let store = Store::open(&dir).with_context(|| {
        format!(
            "the images of {} cannot be used; name another data directory with --dir",
            dir.display()
        )
    })?;
    let json = global.json;
    let registries = crate::locate::dir(global)
        .unwrap_or_else(default_dir)
        .join("registries.yaml");
    match args.verb {
        Verb::Pull { images, username } => {
            pull(&store, &registries, &images, username.as_deref(), json).await
        }
        Verb::Push { image, to, username } => {
            let to = to.unwrap_or_else(|| image.clone());
            push(&store, &registries, &image, &to, username.as_deref(), json).await
        }
        Verb::Ls => list(&store, json),
        Verb::Import { from, tag, pin } => {
            if tag.is_some() && from.len() > 1 {
                bail!("--tag names one image, and there are several archives");
            }
            import(&store, &from, tag.as_ref(), pin, json)
        }
        Verb::Build(build) => {
            let (tag, wanted) = (build.tag.clone(), build.push);
            make(&store, build, json)?;
            if wanted {
                push(&store, &registries, &tag, &tag, None, json).await?;
            }
            Ok(())
        }
        Verb::Save { images, output } => save(&store, &images, output.as_deref()),
        Verb::Inspect { image } => inspect(&store, &image),
        Verb::Rm { images } => remove(&store, &images, json),
        Verb::Prune { all } => prune(&store, all, json),
        Verb::Verify => verify(&store, json),
    }
}

fn list(store: &Store, json: bool) -> Result<()> {
    let mut rows = vec![["IMAGE", "DIGEST", "SIZE", "CREATED", ""].map(str::to_owned)];
    let mut items = Vec::new();
    for named in store.names()? {
        let size = store.describe(&named.manifest).map_or(0, |(manifest, _)| {
            manifest.layers.iter().map(|layer| layer.size).sum()
        });
        let note = if named.pinned.is_empty() { "" } else { "pinned" };
        let short = named.manifest.hex().chars().take(12).collect();
        rows.push([
            shown(&named),
            short,
            human(size),
            named.created.strftime("%Y-%m-%d %H:%M").to_string(),
            note.to_owned(),
        ]);
        items.push(json!({
            "name": named.name, "digest": named.manifest, "target": named.target.digest, "size": size,
            "created": named.created, "used": named.used, "pinned": named.pinned,
        }));
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&items)?);
    } else {
        table(&rows);
    }
    Ok(())
}

fn shown(named: &Named) -> String {
    let reference = named.name.parse::<Reference>();
    reference.map_or_else(|_| named.name.clone(), |reference| reference.familiar())
}

/// As people read sizes of images: in thousands.
fn human(bytes: u64) -> String {
    let mut rest = bytes;
    let mut tenths = 0;
    for unit in ["B", "kB", "MB", "GB"] {
        if rest < 1000 || unit == "GB" {
            return match (unit, rest) {
                ("B", _) | (_, 100..) => format!("{rest}{unit}"),
                _ => format!("{rest}.{tenths}{unit}"),
            };
        }
        tenths = rest % 1000 / 100;
        rest /= 1000;
    }
    format!("{bytes}B")
}

/// Docker's configuration, where docker looks for it; or what is typed.
fn credentials(username: Option<&str>, registry: &str) -> Result<Credentials> {
    if let Some(username) = username {
        let mut password = String::new();
        std::io::stdin()
            .read_line(&mut password)
            .context("cannot read the password from standard input")?;
        let mut own = Credentials::default();
        own.add(registry, username, password.trim_end_matches(['\r', '\n']));
        return Ok(own);
    }
    let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let dir = dir.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".docker")));
    let Some(file) = dir.map(|dir| dir.join("config.json")) else {
        return Ok(Credentials::default());
    };
    match std::fs::read(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Credentials::default()),
        other => {
            let text = other.with_context(|| format!("cannot read {}", file.display()))?;
            Credentials::from_docker(&text).with_context(|| format!("cannot use {}", file.display()))
        }
    }
}

async fn pull(
    store: &Store,
    registries: &Path,
    images: &[Reference],
    username: Option<&str>,
    json: bool,
) -> Result<()> {
    let one = |pair: &[Reference]| matches!(pair, [a, b] if a.registry() == b.registry());
    if username.is_some() && !images.windows(2).all(one) {
        bail!("--username is for one registry, and the images are of several");
    }
    let client = Client::new(Registries::read(registries)?);
    let mut items = Vec::new();
    let mut typed = None;
    for image in images {
        // A password is typed once.
        let credentials = match &typed {
            Some(known) => known,
            None => typed.insert(credentials(username, image.registry())?),
        };
        let named = client.pull(store, image, credentials, SystemClock.now()).await?;
        if !json {
            println!("{} {}", image.familiar(), named.manifest);
        }
        items.push(json!({"name": named.name, "digest": named.manifest}));
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&items)?);
    }
    Ok(())
}

async fn push(
    store: &Store,
    registries: &Path,
    image: &Reference,
    to: &Reference,
    username: Option<&str>,
    json: bool,
) -> Result<()> {
    let client = Client::new(Registries::read(registries)?);
    let credentials = credentials(username, to.registry())?;
    let pushed = client.push(store, image, to, &credentials).await?;
    if json {
        println!("{}", json!({"name": to.to_string(), "digest": pushed.digest}));
    } else {
        println!("pushed {to} {}", pushed.digest);
    }
    Ok(())
}

fn import(store: &Store, from: &[PathBuf], tag: Option<&Reference>, pin: bool, json: bool) -> Result<()> {
    let now = SystemClock.now();
    let pin = pin.then_some("by hand");
    let mut items = Vec::new();
    for path in from {
        let what = || format!("cannot import {}", path.display());
        let imported = if path.as_os_str() == "-" {
            herder_images::import(store, std::io::stdin(), tag, pin, now)
        } else if path.is_dir() {
            herder_images::import_dir(store, path, tag, pin, now)
        } else {
            let file = File::open(path).with_context(what)?;
            herder_images::import(store, file, tag, pin, now)
        };
        for image in imported.with_context(what)? {
            if !json {
                println!("{} {}", image.name.familiar(), image.manifest);
            }
            items.push(json!({"name": image.name.to_string(), "digest": image.manifest}));
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&items)?);
    }
    Ok(())
}

fn make(store: &Store, args: BuildArgs, json: bool) -> Result<()> {
    let base = match args.from.as_str() {
        "scratch" => None,
        name => Some(name.parse::<Reference>()?),
    };
    let pair = |text: &String| {
        text.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let build = Build {
        base,
        copies: args.copy,
        entrypoint: args.entrypoint.map(|words| words.0),
        command: args.cmd.map(|words| words.0),
        env: args.env,
        user: args.user,
        workdir: args.workdir,
        labels: args.label.iter().filter_map(pair).collect::<BTreeMap<_, _>>(),
        owner: args.chown,
    };
    let built = herder_images::build(store, &build, &args.tag, SystemClock.now())
        .with_context(|| format!("cannot build {}", args.tag.familiar()))?;
    if json {
        println!(
            "{}",
            json!({"name": args.tag.to_string(), "digest": built.digest})
        );
    } else {
        println!("{} {}", args.tag.familiar(), built.digest);
    }
    Ok(())
}

fn save(store: &Store, images: &[Reference], output: Option<&Path>) -> Result<()> {
    match output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            let mut file = BufWriter::new(file);
            herder_images::save(store, images, &mut file)?;
            file.flush()
                .with_context(|| format!("cannot write {}", path.display()))
        }
        None if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
            bail!("an archive is nothing for a terminal; use --output FILE, or `herder image save … | …`")
        }
        None => Ok(herder_images::save(store, images, std::io::stdout().lock())?),
    }
}

fn inspect(store: &Store, image: &Reference) -> Result<()> {
    let named = found(store, image)?;
    let (manifest, config) = store.describe(&named.manifest)?;
    let unpacked = store.unpacked_size(&config.rootfs.diff_ids);
    let document = json!({
        "name": named.name, "digest": named.manifest, "target": named.target, "pinned": named.pinned,
        "created": named.created, "used": named.used, "unpackedSize": unpacked,
        "manifest": manifest, "config": config,
    });
    println!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

fn found(store: &Store, image: &Reference) -> Result<Named> {
    let found = store.find(image)?;
    found.ok_or_else(|| herder_images::StoreError::Unknown(image.clone()).into())
}

fn remove(store: &Store, images: &[Reference], json: bool) -> Result<()> {
    let mut gone = Vec::new();
    for image in images {
        let named = found(store, image)?;
        store.forget(image)?;
        gone.push(named.name);
    }
    // What nothing else needs. Somebody who adds at the moment does not make this fail: the next prune does it.
    let pruned = match store.prune(&Keep::default()) {
        Err(herder_images::StoreError::Busy) => herder_images::Pruned::default(),
        other => other?,
    };
    report(&gone, &pruned, json)
}

fn prune(store: &Store, all: bool, json: bool) -> Result<()> {
    let keep = Keep {
        unused: all,
        ..Keep::default()
    };
    let pruned = store.prune(&keep)?;
    report(&pruned.names, &pruned, json)
}

fn report(names: &[String], pruned: &herder_images::Pruned, json: bool) -> Result<()> {
    if json {
        let document = json!({"removed": names, "objects": pruned.objects, "bytes": pruned.bytes});
        println!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(());
    }
    for name in names {
        println!("removed {name}");
    }
    println!("freed {}", human(pruned.bytes));
    Ok(())
}

fn verify(store: &Store, json: bool) -> Result<()> {
    let wrong = store.verify()?;
    if json {
        let items: Vec<Value> = wrong
            .iter()
            .map(|wrong| json!({"what": wrong.what, "why": wrong.why}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&items)?);
    } else {
        for wrong in &wrong {
            println!("{} {}", wrong.what, wrong.why);
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        bail!(
            "{} damaged; remove the images with `herder image rm` and pull or import them again",
            wrong.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sizes() {
        assert_eq!(words("/bin/x y").unwrap().0, ["/bin/x y"]);
        assert_eq!(words(r#"["a","b"]"#).unwrap().0, ["a", "b"]);
        assert!(words("[a").is_err());
        assert_eq!(owner("1:2"), Ok((1, 2)));
        assert_eq!(owner("7"), Ok((7, 7)));
        assert!(
            owner("me").is_err() && copy("x").is_err() && copy("a:b").is_err() && variable("=x").is_err()
        );
        let shown: Vec<String> = [0, 999, 1234, 99_960, 120_000, 5_600_000_000].map(human).into();
        assert_eq!(shown, ["0B", "999B", "1.2kB", "99.9kB", "120kB", "5.6GB"]);
    }
}
