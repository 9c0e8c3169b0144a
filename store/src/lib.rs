//! Petrel's directory: users, their devices and tokens, usernames, blocks and
//! settings, groups, and media; and where the bytes of media are.
//!
//! Everything goes through one trait, [`Directory`], whose operations are each
//! atomic on a single document, so that any store with compare-and-set can
//! stand behind it.
//!
//! The bytes of media are in [`Objects`].

#[cfg(feature = "contract")]
pub mod contract;
mod directory;
mod document;
mod documents;
mod error;
mod group;
mod kv;
mod media;
mod mongo;
pub mod objects;
mod open;
mod patience;
mod retention;
mod token;
mod user;
mod username;

pub use directory::Directory;
pub use error::DirectoryError;
pub use group::{Group, GroupChange, GroupError, GroupOutcome, GroupPatch, GroupRefusal, Member};
pub use kv::KvDirectory;
pub use media::{
    Audience, Fetches, Media, MediaChange, MediaError, MediaOutcome, MediaPage, MediaPlace,
    MediaRefusal, MediaState, MediaUsage, NewMedia, SHARE_LIFE, Served, Shares,
};
pub use mongo::MongoDirectory;
pub use objects::Objects;
pub use open::{DirectoryOptions, OPEN_DEADLINE, OpenError, open};
pub use retention::Retention;
pub use token::{Family, ParseFamilyError, RefreshClaim, Rotation, TokenState};
pub use user::{Device, NewDevice, NewUser, PasswordHash, User, UserPatch};
pub use username::{ParseUsernameError, Username};
