//! `herder login`: a link that signs a browser in.

use crate::args::Global;
use crate::platform::{Platform, login_link};
use anyhow::Result;
use serde_json::json;

pub(crate) async fn run(global: &Global) -> Result<()> {
    let platform = Platform::find(global)?;
    let (link, seconds) = login_link(&platform).await?;
    if global.json {
        println!("{}", json!({"url": link, "seconds": seconds}));
    } else {
        println!("{link}");
        eprintln!("(once and within {} minutes)", seconds / 60);
    }
    Ok(())
}
