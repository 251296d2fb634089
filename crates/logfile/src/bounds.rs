//! How large a log may become.

use crate::error::Error;

/// How much of a log is kept: at most `limit` bytes in `file`, and as much in each of `file.1` (newest) … `file.N`.
/// Together never more than `limit` × (`copies` + 1) bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The largest size of a file in bytes; at least 1.
    pub limit: u64,
    /// How many rotated copies are kept; 0 keeps none, so that a rotation begins the log anew.
    pub copies: u32,
}

impl Bounds {
    /// The most copies there can be. A file `name.<number>` with a larger number is not taken for a copy: such numbers
    /// are dates and the like.
    pub const MAX_COPIES: u32 = 99_999;

    pub(crate) fn check(self) -> Result<Self, Error> {
        if self.limit == 0 || self.copies > Self::MAX_COPIES {
            return Err(Error::BadBounds { limit: self.limit, copies: self.copies });
        }
        Ok(self)
    }
}
