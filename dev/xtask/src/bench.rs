//! Measures the product against its goals. Figures and ratios, never a pass or fail.

use anyhow::Result;

pub fn run(_args: &[String]) -> Result<()> {
    println!("no benchmarks yet");
    Ok(())
}
