//! What a picture may cost. Together they bound the memory of one that is
//! accepted; docs/adr/0012 has the measurement.

/// Most pixels of a picture: above what the cameras of phones make by default.
pub(crate) const PIXELS: u64 = 64_000_000;
/// Most pixels on one side: enough for a long screenshot.
pub(crate) const SIDE: u32 = 30_000;
/// Most bytes of the decoded pixels: four for each, or eight for half as many.
pub(crate) const DECODED_BYTES: u64 = 4 * PIXELS;
/// Most frames of a picture that moves: minutes of it.
pub(crate) const FRAMES: u32 = 3_000;
/// Most passes over a JPEG. Encoders make about ten; each costs a decoder time
/// in proportion to the pixels, however few bytes it has.
pub(crate) const SCANS: u32 = 64;
/// Most bytes of a colour profile that is kept.
pub(crate) const PROFILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most bytes that the decoder of PNG takes beside the pixels: for a colour
/// profile, which is compressed in the file, and for a row.
pub(crate) const PNG_ASIDE_BYTES: u64 = 4 * PROFILE_BYTES;
/// Most bytes of a colour profile that goes with a thumbnail.
pub(crate) const THUMBNAIL_PROFILE_BYTES: usize = 4 * 1024;
/// Most bytes of Exif that are read for the orientation.
pub(crate) const EXIF_BYTES: u64 = 64 * 1024;
/// Most bytes of any small part that is kept, such as a palette.
pub(crate) const SMALL_PART_BYTES: u64 = 64 * 1024;
/// Most pixels on a side of a thumbnail.
pub(crate) const THUMBNAIL_SIDE: u32 = 320;
/// Of JPEG, for thumbnails.
pub(crate) const THUMBNAIL_QUALITY: u8 = 80;
/// Of JPEG, for pictures that had to be turned: what is lost is not seen.
pub(crate) const TURNED_QUALITY: u8 = 92;
