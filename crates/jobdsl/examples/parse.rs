//! Parses files named on the command line.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a development tool"
)]
fn main() {
    let (mut ok, mut all) = (0, 0);
    for path in std::env::args().skip(1) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        all += 1;
        match std::thread::Builder::new()
            .stack_size(256 << 20)
            .spawn({
                let text = text.clone();
                move || herder_jobdsl::check_syntax(&text)
            })
            .unwrap()
            .join()
            .unwrap()
        {
            Ok(()) => ok += 1,
            Err((at, why)) => {
                let line = text[..(at as usize).min(text.len())].matches('\n').count() + 1;
                println!("{path}:{line}: {why}");
            }
        }
    }
    println!("{ok} of {all}");
}
