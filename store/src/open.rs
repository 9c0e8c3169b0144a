//! Which directory it is, and opening it.

use std::{fmt, sync::Arc, time::Duration};

use clap::builder::{StringValueParser, TypedValueParser};

use crate::{
    directory::Directory, error::DirectoryError, kv::KvDirectory, mongo, mongo::MongoDirectory,
};

/// How long [`open`] waits for a MongoDB that does not answer yet.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// Where the directory is: the same flag for every Petrel process.
#[derive(clap::Args, Clone, Default, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// MongoDB for the directory: mongodb://user:password@host,host/database?options.
    /// Without it, the directory is in NATS.
    #[arg(long, env = "MONGODB_URI", value_name = "URI", hide_env_values = true, value_parser = Uri)]
    pub mongodb_uri: Option<String>,
}

/// Why the directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options are wrong, whatever the server says.
    #[error("bad --mongodb-uri: {0}")]
    Uri(String),
    /// An index has the right name and the wrong properties.
    #[error("MongoDB's index on {field} of {collection} is not the one that was asked for")]
    Index {
        /// The collection that has it.
        collection: String,
        /// What it is about.
        field: &'static str,
    },
    /// There is none, or no answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl DirectoryOptions {
    /// Whether they name a MongoDB.
    pub fn is_mongodb(&self) -> bool {
        self.uri().is_some()
    }

    /// A variable that is set to nothing is how compose files leave it out.
    fn uri(&self) -> Option<&str> {
        self.mongodb_uri.as_deref().filter(|uri| !uri.is_empty())
    }
}

/// Opens the directory in MongoDB if the options name one, and otherwise the
/// embedded one.
///
/// # Errors
/// As [`MongoDirectory::connect`] and [`KvDirectory::open`].
pub async fn open(
    options: &DirectoryOptions,
    bus: &nats::Bus,
) -> Result<Arc<dyn Directory>, OpenError> {
    match options.uri() {
        Some(uri) => Ok(Arc::new(MongoDirectory::connect(uri).await?)),
        None => Ok(Arc::new(KvDirectory::open(&bus.jetstream).await?)),
    }
}

/// Checks a connection string. clap's own message would quote it, with the
/// password that may be in it.
#[derive(Clone)]
struct Uri;

impl TypedValueParser for Uri {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        let uri = StringValueParser::new().parse_ref(command, argument, value)?;
        if !uri.is_empty() {
            mongo::check(&uri).map_err(|error| {
                let message = format!("{error} (or the variable MONGODB_URI)\n");
                clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command)
            })?;
        }
        Ok(uri)
    }
}

/// A connection string may hold a password, which no log may show.
impl fmt::Debug for DirectoryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.mongodb_uri.as_ref().map(|_| "…");
        f.debug_struct("DirectoryOptions").field("mongodb_uri", &shown).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        directory: DirectoryOptions,
    }

    fn parse(uri: &str) -> Result<Command, clap::Error> {
        Command::try_parse_from(["petrel", "--mongodb-uri", uri])
    }

    #[test]
    fn a_connection_string_is_checked_without_being_shown() {
        for uri in ["mongodb://a", "mongodb://ann:s3cret@a:1,b/chat?replicaSet=rs0", ""] {
            let command = parse(uri).unwrap();
            assert_eq!(command.directory.mongodb_uri.as_deref(), Some(uri));
            assert!(!format!("{command:?}").contains("s3cret"));
        }
        for uri in [
            "http://a",
            "a:27017",
            "mongodb://",
            "mongodb://ann:s3cret:@a",
            "mongodb://ann:s3cret@a:x",
        ] {
            let error = parse(uri).unwrap_err().to_string();
            assert!(error.contains("--mongodb-uri") && !error.contains("s3cret"), "{uri}: {error}");
        }
    }
}
