//! Gzip and zstd, known by their first bytes and not by what somebody says they are.

use std::io::{self, BufRead, BufReader, Read};

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// By the first bytes.
    pub(crate) fn of(first: &[u8]) -> Self {
        if first.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// Decompresses whatever it is, one frame or member after the other.
///
/// # Errors
/// The first bytes cannot be read, or a zstd header asks for too much memory.
pub(crate) fn reader<'a>(
    inner: impl Read + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut inner = BufReader::with_capacity(128 << 10, inner);
    let kind = Compression::of(inner.fill_buf()?);
    Ok((
        kind,
        match kind {
            Compression::None => Box::new(inner),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(inner)),
            Compression::Zstd => Box::new(Zstd {
                inner: Some(inner),
                frame: None,
            }),
        },
    ))
}

type Frame<R> = ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>;

/// Frames one after the other, as `zstd` and parallel writers make them.
struct Zstd<R: BufRead> {
    inner: Option<R>,
    frame: Option<Frame<R>>,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(into)?;
                if count > 0 {
                    return Ok(count);
                }
            }
            if let Some(frame) = self.frame.take() {
                self.inner = Some(frame.into_inner());
            }
            let Some(mut inner) = self.inner.take() else {
                return Ok(0);
            };
            loop {
                let start = inner.fill_buf()?;
                if start.is_empty() {
                    return Ok(0);
                }
                // Skippable frames: 0x184D2A50 to 5F, then their length.
                if start.get(1..4) != Some(&[0x2a, 0x4d, 0x18])
                    || start.first().is_none_or(|b| b & 0xf0 != 0x50)
                {
                    break;
                }
                let mut head = [0; 8];
                inner.read_exact(&mut head)?;
                let [_, _, _, _, a, b, c, d] = head;
                let length = u64::from(u32::from_le_bytes([a, b, c, d]));
                io::copy(&mut (&mut inner).take(length), &mut io::sink())?;
            }
            // It refuses windows of more than 100 MB by itself.
            let frame = ruzstd::decoding::StreamingDecoder::new(inner).map_err(io::Error::other)?;
            self.frame = Some(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn every_kind_and_several_frames() {
        let text = b"some text ".repeat(10_000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(text.as_slice(), level);
        let skipped = [&[0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd.as_slice()].concat();
        for (kind, once) in [
            (Compression::None, &text),
            (Compression::Gzip, &gzip),
            (Compression::Zstd, &zstd),
        ] {
            let twice = [
                once.as_slice(),
                if kind == Compression::Zstd { &skipped } else { once },
            ]
            .concat();
            let (found, mut all) = reader(twice.as_slice()).unwrap();
            assert_eq!(found, kind);
            let mut out = Vec::new();
            all.read_to_end(&mut out).unwrap();
            assert!(
                out == [text.as_slice(), &text].concat(),
                "{kind:?}: {} bytes",
                out.len()
            );
            if kind != Compression::None {
                let torn = &once[..once.len() - 20];
                let (_, mut rest) = reader(torn).unwrap();
                assert!(
                    rest.read_to_end(&mut Vec::new()).is_err(),
                    "{kind:?} that is torn"
                );
            }
        }
    }
}
