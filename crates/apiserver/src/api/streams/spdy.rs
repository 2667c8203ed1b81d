//! SPDY/3.1, the server's side, as far as clients of Kubernetes use it: streams that the client opens, data, pings. Older
//! clients speak it instead of WebSockets, and for ports newer ones speak it inside of one.

use super::words;
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// The longest frame that is taken.
const LONGEST: usize = 1 << 20;
/// Streams that may be open at the same time.
const STREAMS: usize = 1024;
/// The last data of a stream, or the only word about it.
const FIN: u8 = 1;

/// What a client does.
#[derive(Debug)]
pub(crate) enum Event {
    /// Opens a stream, which has been answered.
    Open {
        /// The stream.
        id: u32,
        /// What it says about it, names in lower case.
        headers: BTreeMap<String, String>,
    },
    /// Says something.
    Data {
        /// The stream.
        id: u32,
        /// What.
        bytes: Bytes,
        /// Nothing more comes.
        last: bool,
    },
    /// Wants to hear nothing more of it.
    Reset {
        /// The stream.
        id: u32,
    },
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whoever listened has gone.
fn gone<T>(_: mpsc::error::SendError<T>) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

fn control(kind: u16, body: &[&[u8]]) -> Vec<u8> {
    let length: usize = body.iter().map(|part| part.len()).sum();
    let mut frame = vec![0x80, 3];
    frame.extend_from_slice(&kind.to_be_bytes());
    // Bodies are short here, so the flags in the first byte stay 0.
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_be_bytes());
    for part in body {
        frame.extend_from_slice(part);
    }
    frame
}

/// Data for a stream.
pub(crate) fn data(id: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.len() + 8);
    frame.extend_from_slice(&(id & 0x7fff_ffff).to_be_bytes());
    let [_, length @ ..] = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    frame.push(if last { FIN } else { 0 });
    frame.extend_from_slice(&length);
    frame.extend_from_slice(bytes);
    frame
}

/// The end of a stream, whatever the client still wanted to say.
pub(crate) fn reset(id: u32) -> Vec<u8> {
    const CANCEL: u32 = 5;
    control(3, &[&id.to_be_bytes(), &CANCEL.to_be_bytes()])
}

/// Reads what a client does until it goes; answers what needs no thought.
///
/// # Errors
/// When what comes is not SPDY, or more than is allowed.
pub(crate) async fn read(
    mut from: impl AsyncRead + Unpin,
    out: mpsc::Sender<Vec<u8>>,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    let mut words = words::Reader::new();
    let mut open: HashSet<u32> = HashSet::new();
    let (mut answered, mut newest) = (false, 0);
    loop {
        let mut head = [0; 8];
        match from.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let [first @ .., flags, high, middle, low] = head;
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).map_err(io::Error::other)?;
        if length > LONGEST {
            return Err(wrong("a frame is longer than 1 MiB"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        let last = flags & FIN != 0;
        let [about, _, kind @ ..] = first;
        if about & 0x80 == 0 {
            let id = u32::from_be_bytes(first);
            // Of a stream that is not there any more: its reader has gone, and that was said.
            if !open.contains(&id) {
                continue;
            }
            if last {
                open.remove(&id);
            }
            let bytes = Bytes::from(body);
            events.send(Event::Data { id, bytes, last }).await.map_err(gone)?;
            continue;
        }
        let id = body
            .first_chunk::<4>()
            .map(|id| u32::from_be_bytes(*id) & 0x7fff_ffff);
        match (u16::from_be_bytes(kind), id) {
            (1, Some(id)) => {
                let block = body.get(10..).ok_or_else(|| wrong("a stream without headers"))?;
                let headers = words.read(block)?;
                // A client counts upwards in odd numbers.
                if id % 2 == 0 || id <= newest {
                    return Err(wrong("a stream with a wrong number"));
                }
                newest = id;
                if open.len() >= STREAMS {
                    out.send(reset(id)).await.map_err(gone)?;
                    continue;
                }
                let reply = control(2, &[&id.to_be_bytes(), &words::none(!answered)]);
                answered = true;
                out.send(reply).await.map_err(gone)?;
                events.send(Event::Open { id, headers }).await.map_err(gone)?;
                if last {
                    let bytes = Bytes::new();
                    events.send(Event::Data { id, bytes, last }).await.map_err(gone)?;
                } else {
                    open.insert(id);
                }
            }
            (3, Some(id)) => {
                open.remove(&id);
                events.send(Event::Reset { id }).await.map_err(gone)?;
            }
            // A ping, which comes back.
            (6, _) => out.send(control(6, &[&body])).await.map_err(gone)?,
            (7, _) => return Ok(()),
            (8, _) => {
                // Its headers say nothing here, but the ones after them are compressed with them.
                words.read(body.get(4..).unwrap_or_default())?;
            }
            // Settings and windows: what is sent here is read by whoever asked for it.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(id: u32) -> Vec<u8> {
        let block = words::none(id == 1);
        control(1, &[&id.to_be_bytes(), &[0; 6], &block])
    }

    #[tokio::test]
    async fn streams_are_opened_answered_and_ended() {
        let stream = [
            open(1),
            data(1, b"hello", false),
            control(6, &[&7_u32.to_be_bytes()]),
            data(9, b"of nobody", false),
            data(1, b"", true),
            data(1, b"after the end", false),
            control(7, &[&[0; 8]]),
        ]
        .concat();
        let (out, mut sent) = mpsc::channel(16);
        let (events, mut heard) = mpsc::channel(16);
        read(stream.as_slice(), out, events).await.unwrap();
        assert!(matches!(heard.recv().await, Some(Event::Open { id: 1, .. })));
        assert!(
            matches!(heard.recv().await, Some(Event::Data { bytes, last: false, .. }) if bytes == "hello")
        );
        assert!(
            matches!(heard.recv().await, Some(Event::Data { bytes, last: true, .. }) if bytes.is_empty())
        );
        assert!(heard.recv().await.is_none());
        assert_eq!(sent.recv().await.unwrap().get(..4), Some(&[0x80, 3, 0, 2][..]));
        assert_eq!(sent.recv().await.unwrap(), control(6, &[&7_u32.to_be_bytes()]));
    }

    #[tokio::test]
    async fn what_is_not_spdy_is_refused() {
        for bytes in [
            open(2),
            [open(3), open(1)].concat(),
            vec![0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
            control(1, &[&1_u32.to_be_bytes()]),
            control(1, &[&1_u32.to_be_bytes(), &[0; 6], b"no zlib"]),
            data(1, b"cut short", false).split_last().unwrap().1.to_vec(),
        ] {
            let (out, _sent) = mpsc::channel(16);
            let (events, _heard) = mpsc::channel(16);
            let read = read(bytes.as_slice(), out, events).await;
            assert!(read.is_err(), "{bytes:?}");
        }
    }
}
