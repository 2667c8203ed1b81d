//! `herder webhook`: what a git server has to be told, so that it rings when something was pushed.

use crate::args::Global;
use crate::platform::Platform;
use anyhow::Result;
use serde_json::{Value, json};

pub(crate) async fn run(global: &Global) -> Result<()> {
    let platform = Platform::find(global)?;
    let setup = platform.get("/api/v1/webhook").await?;
    let text = |name: &str| setup.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = format!("{}/{}", platform.base(), text("path"));
    if global.json {
        println!(
            "{}",
            serde_json::to_string_pretty(
                &json!({"url": url, "secret": text("secret"), "secret_file": text("secret_file")})
            )?
        );
        return Ok(());
    }
    println!("URL           {url}");
    println!("Secret        {}", text("secret"));
    println!("Content type  application/json\n");
    println!("GitHub, Gitea, Forgejo, Bitbucket: the secret goes into \"Secret\".");
    println!("GitLab: it goes into \"Secret token\".");
    println!("Replace {} to change it.", text("secret_file"));
    if setup.get("unsigned") == Some(&Value::Bool(true)) {
        println!("Notices without a signature are taken, every 5 s at most (--allow-unsigned-webhooks).");
    }
    Ok(())
}
