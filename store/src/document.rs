//! How users, groups and media are stored, and what each change does to a document.
//!
//! Pure: an implementation reads a document, calls the change, and stores the
//! result if nobody else stored one meanwhile.
//!
//! During a rolling upgrade two versions share the documents, so fields this
//! version does not know are kept (`rest`), and what may be missing has a default.

mod group;
mod media;
mod user;

pub(crate) use group::GroupDocument;
pub(crate) use media::{FetchDocument, MediaDocument, ShareDocument};
pub(crate) use user::{DeviceDocument, UserDocument};
