//! Bodies: read into a file as they come, unwrapped where they come in chunks, and summed.
//!
//! Of chunks that are signed one by one the signatures are not verified: the sums are.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::{Body, Bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::checksum::{ALGORITHMS, Sum};
use super::error::{failed, invalid, refused};
use crate::aws::service::{ServiceError, text};

/// The largest body: an object in one piece, or a part.
const MAX_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// The longest line between chunks.
const MAX_LINE: usize = 4096;

/// A body that lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) size: u64,
    /// MD5 sum in hexadecimal digits: the `ETag`, without its quotes.
    pub(super) md5: String,
    /// The algorithm and the sum that the client gave, and that is right.
    pub(super) checksum: Option<(String, String)>,
}

/// Reads a body into a new file, and compares it with every sum that the request has.
pub(super) async fn keep(body: Body, headers: &HeaderMap, file: &Path) -> Result<Kept, ServiceError> {
    let payload = text(headers, "x-amz-content-sha256");
    let mut unwrapper = payload.starts_with("STREAMING-").then(Chunks::default);
    let length = if unwrapper.is_some() {
        "x-amz-decoded-content-length"
    } else {
        "content-length"
    };
    let length: u64 = text(headers, length).parse().map_err(|_| {
        let message = "You must provide the Content-Length HTTP header.";
        refused(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message)
    })?;
    if length > MAX_BYTES {
        return Err(invalid(
            "EntityTooLarge",
            "a part, or an object in one piece, has at most 5 GiB",
        ));
    }
    let mut sums = Sums::of(headers)?;
    let mut out = File::create_new(file).await.map_err(failed)?;
    let mut stream = body.into_data_stream();
    let mut size = 0;
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| invalid("IncompleteBody", error))?;
        let pieces = match &mut unwrapper {
            Some(chunks) => chunks.take(&bytes)?,
            None => vec![bytes],
        };
        for piece in pieces {
            size += piece.len() as u64;
            if size > length {
                return Err(invalid("IncompleteBody", "the body is longer than its length says"));
            }
            sums.update(&piece);
            out.write_all(&piece).await.map_err(failed)?;
        }
    }
    if size != length || unwrapper.as_ref().is_some_and(|chunks| chunks.state != State::End) {
        return Err(invalid(
            "IncompleteBody",
            "You did not provide the number of bytes specified.",
        ));
    }
    out.sync_all().await.map_err(failed)?;
    let trailers = unwrapper.map(|chunks| chunks.trailers).unwrap_or_default();
    sums.finish(size, payload, headers, &trailers)
}

/// The sums of a body.
struct Sums {
    md5: md5::Context,
    sha256: Context,
    checksum: Option<(String, Sum)>,
}

impl Sums {
    fn of(headers: &HeaderMap) -> Result<Self, ServiceError> {
        let trailer = text(headers, "x-amz-trailer").trim().to_lowercase();
        let mut given = ALGORITHMS.iter().filter(|algorithm| {
            let name = format!("x-amz-checksum-{algorithm}");
            headers.contains_key(&name) || trailer == name
        });
        let algorithm = given.next();
        if given.next().is_some() {
            return Err(invalid("InvalidRequest", "Expecting a single x-amz-checksum- header."));
        }
        Ok(Self {
            md5: md5::Context::new(),
            sha256: Context::new(&SHA256),
            checksum: algorithm.and_then(|name| Some(((*name).to_owned(), Sum::by(name)?))),
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        self.md5.consume(bytes);
        self.sha256.update(bytes);
        if let Some((_, sum)) = &mut self.checksum {
            sum.update(bytes);
        }
    }

    fn finish(
        self,
        size: u64,
        payload: &str,
        headers: &HeaderMap,
        trailers: &[(String, String)],
    ) -> Result<Kept, ServiceError> {
        let md5 = self.md5.compute();
        let given = text(headers, "content-md5");
        if !given.is_empty() {
            match STANDARD.decode(given) {
                Ok(sum) if sum == md5.0 => {}
                Ok(sum) if sum.len() == md5.0.len() => return Err(bad_digest("Content-MD5")),
                _ => return Err(invalid("InvalidDigest", "The Content-MD5 you specified is not valid.")),
            }
        }
        let is_hash = payload.len() == 64;
        if is_hash && !payload.eq_ignore_ascii_case(&hex::encode(self.sha256.finish())) {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            return Err(invalid("XAmzContentSHA256Mismatch", message));
        }
        let checksum = match self.checksum {
            Some((algorithm, sum)) => {
                let name = format!("x-amz-checksum-{algorithm}");
                let trailer = trailers
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value.as_str());
                let sum = sum.finish();
                if trailer.unwrap_or_else(|| text(headers, &name)) != sum {
                    return Err(bad_digest(&name));
                }
                Some((algorithm, sum))
            }
            None => None,
        };
        Ok(Kept {
            size,
            md5: format!("{md5:x}"),
            checksum,
        })
    }
}

fn bad_digest(what: &str) -> ServiceError {
    invalid(
        "BadDigest",
        format!("The {what} you specified did not match what we received."),
    )
}

/// Takes a body out of its chunks: `size;extensions`, the bytes, and after the last chunk, of no bytes, trailers.
#[derive(Debug, Default)]
struct Chunks {
    state: State,
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a line that gives a size.
    #[default]
    Size,
    /// In a chunk with so many bytes to come.
    Bytes(u64),
    /// Before the empty line after a chunk.
    Gap,
    /// Among the trailers.
    Trailers,
    /// After the empty line at the end.
    End,
}

impl Chunks {
    /// Yields what of these bytes is the body.
    fn take(&mut self, bytes: &Bytes) -> Result<Vec<Bytes>, ServiceError> {
        let mut pieces = Vec::new();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            if let State::Bytes(left) = self.state {
                let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                pieces.push(rest.split_to(count));
                let left = left - count as u64;
                self.state = if left == 0 { State::Gap } else { State::Bytes(left) };
                continue;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = rest.split_to(end.map_or(rest.len(), |end| end + 1));
            self.line.extend(&line);
            if self.line.len() > MAX_LINE {
                return Err(malformed());
            }
            if end.is_some() {
                let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| malformed())?;
                self.state = self.after(line.trim_end())?;
            }
        }
        Ok(pieces)
    }

    fn after(&mut self, line: &str) -> Result<State, ServiceError> {
        Ok(match self.state {
            State::Size => {
                let size = line.split(';').next().unwrap_or_default();
                match u64::from_str_radix(size, 16).map_err(|_| malformed())? {
                    0 => State::Trailers,
                    size => State::Bytes(size),
                }
            }
            State::Gap if line.is_empty() => State::Size,
            State::Trailers if line.is_empty() => State::End,
            State::Trailers => {
                let (name, value) = line.split_once(':').ok_or_else(malformed)?;
                self.trailers
                    .push((name.trim().to_lowercase(), value.trim().to_owned()));
                State::Trailers
            }
            State::Gap | State::Bytes(_) | State::End => return Err(malformed()),
        })
    }
}

fn malformed() -> ServiceError {
    invalid("InvalidRequest", "the chunks of the body are malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_wherever_the_network_cuts_them() {
        let wire = b"5;chunk-signature=ab\r\nhello\r\n6\r\n\r\nworl\r\n0\r\nx-amz-checksum-crc32: abc=\r\n\r\n";
        for cut in 1..wire.len() {
            let mut chunks = Chunks::default();
            let mut body = Vec::new();
            for part in wire.chunks(cut) {
                body.extend(chunks.take(&Bytes::copy_from_slice(part)).unwrap().concat());
            }
            assert_eq!(body, b"hello\r\nworl");
            assert_eq!(chunks.state, State::End);
            assert_eq!(
                chunks.trailers,
                [("x-amz-checksum-crc32".to_owned(), "abc=".to_owned())]
            );
        }
        for bad in ["x\r\n", "1\r\nab\r\n", "0\r\nno trailer\r\n", "0\r\n\r\nmore\r\n"] {
            assert!(Chunks::default().take(&Bytes::from(bad)).is_err(), "{bad:?}");
        }
    }
}
