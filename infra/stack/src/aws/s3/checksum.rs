//! The sums by which a client and S3 make sure that they mean the same bytes.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The algorithms, by the end of their header `x-amz-checksum-…`.
pub(super) const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// A sum under way.
pub(super) enum Sum {
    Crc(Crc),
    Digest(Context),
}

impl Sum {
    /// Begins a sum by one of [`ALGORITHMS`].
    pub(super) fn by(algorithm: &str) -> Option<Self> {
        // Polynomials with their bits reflected.
        Some(match algorithm {
            "crc32" => Self::Crc(Crc::new(0xEDB8_8320, 4)),
            "crc32c" => Self::Crc(Crc::new(0x82F6_3B78, 4)),
            "crc64nvme" => Self::Crc(Crc::new(0x9A6C_9329_AC4B_C9B5, 8)),
            "sha1" => Self::Digest(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            "sha256" => Self::Digest(Context::new(&SHA256)),
            _ => return None,
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(crc) => crc.update(bytes),
            Self::Digest(context) => context.update(bytes),
        }
    }

    /// Yields the sum as its header has it, in base64.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Crc(crc) => STANDARD.encode(crc.finish()),
            Self::Digest(context) => STANDARD.encode(context.finish()),
        }
    }
}

/// A cyclic redundancy check with all its bits inverted at both ends, as all of these are.
pub(super) struct Crc {
    table: Box<[u64; 256]>,
    value: u64,
    bytes: usize,
}

impl Crc {
    fn new(polynomial: u64, bytes: usize) -> Self {
        let mut table = Box::new([0; 256]);
        for (byte, entry) in (0_u64..).zip(table.iter_mut()) {
            *entry = (0..8).fold(byte, |sum, _| {
                if sum & 1 == 1 {
                    (sum >> 1) ^ polynomial
                } else {
                    sum >> 1
                }
            });
        }
        Self {
            table,
            value: u64::MAX >> (64 - 8 * bytes),
            bytes,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [lowest, ..] = self.value.to_le_bytes();
            self.value = self.table[usize::from(lowest ^ byte)] ^ (self.value >> 8);
        }
    }

    fn finish(self) -> Vec<u8> {
        let value = self.value ^ (u64::MAX >> (64 - 8 * self.bytes));
        value.to_be_bytes()[8 - self.bytes..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values that the catalogue of CRCs gives for `123456789`, and the known digests of it.
    #[test]
    fn sums_are_as_their_standards_say() {
        let sum = |algorithm: &str| {
            let mut sum = Sum::by(algorithm).unwrap();
            sum.update(b"1234");
            sum.update(b"56789");
            hex::encode(STANDARD.decode(sum.finish()).unwrap())
        };
        assert_eq!(sum("crc32"), "cbf43926");
        assert_eq!(sum("crc32c"), "e3069283");
        assert_eq!(sum("crc64nvme"), "ae8b14860a799888");
        assert_eq!(sum("sha1"), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert_eq!(
            sum("sha256"),
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        );
    }
}
