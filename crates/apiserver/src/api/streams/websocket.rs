//! WebSockets (RFC 6455), the server's side: the handshake and frames. Owns no meaning of messages.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message that is taken.
const LONGEST: usize = 4 << 20;
/// What RFC 6455 has servers add to a client's key.
const MARK: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Bytes or text.
    Data(Bytes),
    /// To be answered with [`pong`].
    Ping(Bytes),
    /// No more comes.
    Close,
}

/// Whether a request wants to become a WebSocket.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.trim().eq_ignore_ascii_case("websocket"))
}

/// The answer to a handshake's key; `None` if it is none of RFC 6455.
pub(crate) fn accept(headers: &HeaderMap) -> Option<String> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?.trim();
    let version = headers.get(SEC_WEBSOCKET_VERSION)?.to_str().ok()?.trim();
    if version != "13" || B64.decode(key).ok()?.len() != 16 {
        return None;
    }
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MARK}").as_bytes());
    Some(B64.encode(hash))
}

/// The subprotocols that a client offers, best first.
pub(crate) fn offered(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .filter(|protocol| !protocol.is_empty())
        .collect()
}

fn frame(opcode: u8, parts: [&[u8]; 2]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(length + 10);
    frame.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
}

/// A message of bytes.
pub(crate) fn binary(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    frame(2, [head, bytes])
}

/// A message of text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(1, [text.as_bytes(), &[]])
}

/// The answer to a ping.
pub(crate) fn pong(bytes: &[u8]) -> Vec<u8> {
    frame(10, [bytes, &[]])
}

/// A question whether somebody is there.
pub(crate) fn ping() -> Vec<u8> {
    frame(9, [&[], &[]])
}

/// The end, for no reason that would need to be said.
pub(crate) fn close() -> Vec<u8> {
    frame(8, [&1000_u16.to_be_bytes(), &[]])
}

/// Reads messages.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    from: R,
    /// The beginning of a message that came in parts.
    begun: Option<Vec<u8>>,
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads messages from a connection that was upgraded.
    pub(crate) fn new(from: R) -> Self {
        Self { from, begun: None }
    }

    /// The next message. Not to be given up half way.
    ///
    /// # Errors
    /// When the connection ends without a goodbye, or what comes is no frame of a client.
    pub(crate) async fn next(&mut self) -> io::Result<Message> {
        loop {
            let [first, second] = self.bytes::<2>().await?;
            let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
            if first & 0x70 != 0 {
                return Err(wrong("a frame with an extension that was not agreed on"));
            }
            if second & 0x80 == 0 {
                return Err(wrong("a frame of a client must be masked"));
            }
            let length = match second & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.bytes().await?)),
                127 => u64::from_be_bytes(self.bytes().await?),
                short => u64::from(short),
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let before = self.begun.as_ref().map_or(0, Vec::len);
            if length.saturating_add(before) > LONGEST {
                return Err(wrong("a message is longer than 4 MiB"));
            }
            let control = opcode & 0x08 != 0;
            if control && (length > 125 || !last) {
                return Err(wrong("a control frame is too long or in parts"));
            }
            let mask = self.bytes::<4>().await?;
            let mut payload = vec![0; length];
            self.from.read_exact(&mut payload).await?;
            for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= key;
            }
            match (opcode, self.begun.take()) {
                (8, _) => return Ok(Message::Close),
                (9, begun) => {
                    self.begun = begun;
                    return Ok(Message::Ping(payload.into()));
                }
                (10, begun) => self.begun = begun,
                (1 | 2, None) if last => return Ok(Message::Data(payload.into())),
                (1 | 2, None) => self.begun = Some(payload),
                (0, Some(mut begun)) => {
                    begun.extend_from_slice(&payload);
                    if last {
                        return Ok(Message::Data(begun.into()));
                    }
                    self.begun = Some(begun);
                }
                _ => return Err(wrong("a frame out of place")),
            }
        }
    }

    async fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).await?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 1, 2, 3, 4];
        let keys = [1, 2, 3, 4].into_iter().cycle();
        bytes.extend(payload.iter().zip(keys).map(|(byte, key)| byte ^ key));
        bytes
    }

    #[tokio::test]
    async fn messages_in_parts_and_pings_between_them() {
        let stream = [
            masked(0x82, b"whole"),
            masked(0x02, b"in "),
            masked(0x89, b"there?"),
            masked(0x80, b"parts"),
            masked(0x88, b""),
        ]
        .concat();
        let mut reader = Reader::new(stream.as_slice());
        assert_eq!(reader.next().await.unwrap(), Message::Data("whole".into()));
        assert_eq!(reader.next().await.unwrap(), Message::Ping("there?".into()));
        assert_eq!(reader.next().await.unwrap(), Message::Data("in parts".into()));
        assert_eq!(reader.next().await.unwrap(), Message::Close);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        for bytes in [
            vec![0x82, 0x01, b'x'],
            masked(0xc2, b"x"),
            masked(0x80, b"x"),
            masked(0x09, b"x"),
            vec![
                0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
            ],
            [masked(0x02, b"x"), masked(0x82, b"y")].concat(),
            vec![0x82, 0x85, 0, 0],
        ] {
            assert!(Reader::new(bytes.as_slice()).next().await.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        headers.insert(SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
        assert_eq!(accept(&headers).as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        headers.insert(SEC_WEBSOCKET_VERSION, "8".parse().unwrap());
        assert_eq!(accept(&headers), None);
        assert_eq!(
            binary(&[1], &[0; 200]).get(..5),
            Some(&[0x82, 126, 0, 201, 1][..])
        );
        assert_eq!(
            binary(&[], &[0; 70_000]).get(..10),
            Some(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70][..])
        );
    }
}
