//! Header blocks of SPDY/3.1: names and values, compressed with one zlib stream per direction that begins with a
//! dictionary both sides know. What is written here is not compressed, which the format allows.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::collections::BTreeMap;
use std::io;

/// As far back as zlib looks.
const WINDOW: usize = 1 << 15;
/// The longest block that is taken, compressed or not.
const LONGEST: usize = 64 << 10;

/// The dictionary (SPDY/3, 2.6.10.1): first these, each after its length.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
/// Then this.
const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
    Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not \
    Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov \
    Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,\
    application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=\
    iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS.split_whitespace() {
        let word = word.replace('_', " ");
        bytes.extend_from_slice(&u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(REST.as_bytes());
    bytes
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads a client's header blocks.
pub(crate) struct Reader {
    state: Box<DecompressorOxide>,
    window: Vec<u8>,
    position: usize,
    begun: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let mut window = dictionary();
        let position = window.len();
        window.resize(WINDOW, 0);
        Self {
            state: Box::default(),
            window,
            position,
            begun: false,
        }
    }

    /// The headers of a block; of several values of a name the first.
    pub(crate) fn read(&mut self, block: &[u8]) -> io::Result<BTreeMap<String, String>> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> io::Result<Vec<u8>> {
        if !self.begun {
            // The stream's own header: two bytes, and which dictionary if it has one.
            let length = match block {
                [_, flags, ..] if flags & 0x20 != 0 => 6,
                _ => 2,
            };
            block = block
                .get(length..)
                .ok_or_else(|| wrong("headers are cut short"))?;
            self.begun = true;
        }
        let mut inflated = Vec::new();
        loop {
            let (status, read, written) = decompress(
                &mut self.state,
                block,
                &mut self.window,
                self.position,
                TINFL_FLAG_HAS_MORE_INPUT,
            );
            block = block.get(read..).unwrap_or_default();
            let new = self.window.get(self.position..self.position + written);
            inflated.extend_from_slice(new.unwrap_or_default());
            self.position = (self.position + written) % WINDOW;
            if inflated.len() > LONGEST {
                return Err(wrong("headers are longer than 64 KiB"));
            }
            match status {
                TINFLStatus::NeedsMoreInput if block.is_empty() => return Ok(inflated),
                TINFLStatus::HasMoreOutput => {}
                _ => return Err(wrong("headers could not be decompressed")),
            }
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<BTreeMap<String, String>> {
    let mut rest = bytes;
    let mut headers = BTreeMap::new();
    for _ in 0..number(&mut rest)? {
        let (name, value) = (text(&mut rest)?, text(&mut rest)?);
        let first = value.split('\0').next().unwrap_or_default().to_owned();
        headers.insert(name.to_lowercase(), first);
    }
    Ok(headers)
}

fn number(rest: &mut &[u8]) -> io::Result<usize> {
    let (number, after) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| wrong("headers are cut short"))?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*number)).map_err(io::Error::other)
}

fn text(rest: &mut &[u8]) -> io::Result<String> {
    let length = number(rest)?;
    let (text, after) = rest
        .split_at_checked(length)
        .ok_or_else(|| wrong("headers are cut short"))?;
    *rest = after;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Blocks without headers, which is all that is ever answered here: a stored block and an empty one that has readers see
/// it at once.
pub(crate) fn none(first: bool) -> Vec<u8> {
    let mut block = if first { vec![0x78, 0x01] } else { Vec::new() };
    block.extend_from_slice(&[0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0]);
    block.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_standard() {
        let bytes = dictionary();
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in &bytes {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((bytes.len(), b << 16 | a), (1423, 0xe3c6_a7c2));
    }

    /// What zlib makes of two blocks (`streamtype: error, port: 80` and `streamtype: data`) with the dictionary.
    #[test]
    fn blocks_of_zlib_are_read() {
        let mut reader = Reader::new();
        let first = hex::decode(FIRST).unwrap();
        let second = hex::decode(SECOND).unwrap();
        let headers = reader.read(&first).unwrap();
        assert_eq!(headers["streamtype"], "error");
        assert_eq!(headers["port"], "80");
        assert_eq!(headers["if-modified-since"], "content-length");
        assert_eq!(reader.read(&second).unwrap()["streamtype"], "data");
        assert!(reader.read(b"\xff\xff\xff").is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        let mut reader = Reader::new();
        assert!(reader.read(&none(true)).unwrap().is_empty());
        assert!(reader.read(&none(false)).unwrap().is_empty());
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut reader = Reader::new();
        let zeros = hex::decode(BOMB).unwrap();
        assert!(reader.read(&zeros).is_err());
    }

    const FIRST: &str =
        "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc646180ab80402bcc00000000ffff";
    const SECOND: &str = "028a306298072a9a1201000000ffff";
    const BOMB: &str = "78f9e3c6a7c2ecc1010d000000c220fba77e0f070c0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000802b010000ffff";
}
