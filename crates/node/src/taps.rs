//! Who listens to a container besides its log. Whoever listens slowly slows the container down for a moment and is then
//! cut off: a container never waits for somebody who went away.

use crate::stream::Stream;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

/// How long a listener may stand in the way.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a listener may lag behind, where the machine allows it.
const LAG: i32 = 1 << 20;
/// So many may listen to one container.
const MOST: usize = 32;

/// The listeners of one container instance.
#[derive(Debug, Default)]
pub(crate) struct Taps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taps: Vec<(&'static str, Stream)>,
    ended: Vec<&'static str>,
}

impl Taps {
    /// Listens to one stream from now on: the reading end of what it says.
    pub(crate) async fn tap(&self, stream: &'static str) -> io::Result<OwnedFd> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // A smaller one will do.
        _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(LAG));
        let mut state = self.0.lock().await;
        // What has ended is heard to end at once.
        if !state.ended.contains(&stream) {
            if state.taps.len() >= MOST {
                return Err(io::Error::other("too many are attached to this container"));
            }
            state.taps.push((stream, Stream::new(write)?));
        }
        Ok(read)
    }

    /// Tells them.
    pub(crate) async fn say(&self, stream: &'static str, bytes: &[u8]) {
        let mut state = self.0.lock().await;
        let mut kept = Vec::with_capacity(state.taps.len());
        for (own, mut tap) in state.taps.drain(..) {
            let written = own != stream
                || matches!(
                    tokio::time::timeout(PATIENCE, tap.write_all(bytes)).await,
                    Ok(Ok(()))
                );
            if written {
                kept.push((own, tap));
            }
        }
        state.taps = kept;
    }

    /// Tells them that there is no more.
    pub(crate) async fn end(&self, stream: &'static str) {
        let mut state = self.0.lock().await;
        state.taps.retain(|(own, _)| *own != stream);
        state.ended.push(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test(start_paused = true)]
    async fn listeners_hear_what_comes_and_the_deaf_are_cut_off() {
        let taps = Taps::default();
        let heard = taps.tap("stdout").await.unwrap();
        let deaf = taps.tap("stdout").await.unwrap();
        let errors = taps.tap("stderr").await.unwrap();
        taps.say("stdout", b"one").await;
        let mut heard = Stream::new(heard).unwrap();
        let mut text = [0; 3];
        heard.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"one");
        // More than fits: who reads hears all of it, who does not is given up.
        let much = vec![b'x'; 3 << 20];
        let read = async {
            let mut text = vec![0; much.len()];
            heard.read_exact(&mut text).await.unwrap();
        };
        tokio::join!(taps.say("stdout", &much), read);
        assert_eq!(taps.0.lock().await.taps.len(), 2);
        drop(deaf);
        taps.end("stdout").await;
        let mut rest = Vec::new();
        heard.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        drop(errors);
        taps.say("stderr", b"gone").await;
        assert!(taps.0.lock().await.taps.is_empty());
        let mut late = Stream::new(taps.tap("stdout").await.unwrap()).unwrap();
        assert_eq!(late.read_to_end(&mut rest).await.unwrap(), 0);
    }
}
