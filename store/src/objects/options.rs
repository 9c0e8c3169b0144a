//! Which object storage it is.

use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

/// Where media are: the same flags for every Petrel process.
#[derive(Debug, Clone, clap::Args)]
pub struct ObjectsOptions {
    /// Where the bytes of media are: a folder, which all gateways and workers
    /// have to share, or s3://bucket/prefix.
    #[arg(long, env = "PETREL_MEDIA", value_name = "PLACE", default_value = "petrel-media")]
    pub media: MediaPlace,

    /// S3, where that is the place.
    #[command(flatten)]
    pub s3: S3Options,
}

/// What there is to know of an S3.
#[derive(Clone, Default, clap::Args)]
pub struct S3Options {
    /// The address of S3, as the gateways reach it: http://minio:9000.
    #[arg(long, env = "PETREL_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<Url>,

    /// The address of S3, as clients reach it; the same where not given.
    #[arg(long, env = "PETREL_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    pub s3_public_endpoint: Option<Url>,

    /// The region of the bucket.
    #[arg(long, env = "PETREL_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// The key that may read, write and delete in the bucket.
    #[arg(long, env = "PETREL_S3_ACCESS_KEY")]
    pub s3_access_key: Option<String>,

    /// Its secret.
    #[arg(long, env = "PETREL_S3_SECRET_KEY", hide_env_values = true)]
    pub s3_secret_key: Option<String>,
}

/// A place for media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaPlace {
    /// A folder on a disk.
    Folder(PathBuf),
    /// A bucket of S3.
    S3 {
        /// Its name.
        bucket: String,
        /// What all paths in it begin with; may be empty.
        prefix: String,
    },
}

/// It names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a folder, or s3://bucket/prefix")]
pub struct ParsePlaceError;

/// Why object storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenObjectsError {
    /// The folder is not there and cannot be made.
    #[error("cannot make the folder {folder:?} for media: set --media (or PETREL_MEDIA)")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that S3 needs is not set.
    #[error("media are to be in S3: set {0}")]
    Missing(&'static str),
    /// The address of S3 is none.
    #[error("bad --s3-endpoint or --s3-public-endpoint: {0}")]
    Endpoint(String),
    /// The store refuses what was set.
    #[error("cannot open object storage")]
    Store(#[source] object_store::Error),
}

/// All that is needed of an S3.
pub(super) struct S3<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) public_endpoint: &'a Url,
    pub(super) region: &'a str,
    pub(super) access_key: &'a str,
    pub(super) secret_key: &'a str,
}

impl S3Options {
    pub(super) fn credentials(&self) -> Result<S3<'_>, OpenObjectsError> {
        fn set<'a, T>(value: Option<&'a T>, flag: &'static str) -> Result<&'a T, OpenObjectsError> {
            value.ok_or(OpenObjectsError::Missing(flag))
        }
        let endpoint = set(self.s3_endpoint.as_ref(), "--s3-endpoint (or PETREL_S3_ENDPOINT)")?;
        let access = set(self.s3_access_key.as_ref(), "--s3-access-key (or PETREL_S3_ACCESS_KEY)")?;
        let secret = set(self.s3_secret_key.as_ref(), "--s3-secret-key (or PETREL_S3_SECRET_KEY)")?;
        Ok(S3 {
            endpoint,
            public_endpoint: self.s3_public_endpoint.as_ref().unwrap_or(endpoint),
            region: &self.s3_region,
            access_key: access,
            secret_key: secret,
        })
    }
}

impl FromStr for MediaPlace {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        let Some(place) = text.strip_prefix("s3://") else {
            // What looks like an address is no folder.
            let is_folder = !text.is_empty() && !text.contains("://");
            return is_folder.then(|| Self::Folder(text.into())).ok_or(ParsePlaceError);
        };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(ParsePlaceError);
        }
        Ok(Self::S3 { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
    }
}

/// Never shows the secret.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("s3_endpoint", &self.s3_endpoint.as_ref().map(Url::as_str))
            .field("s3_region", &self.s3_region)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        objects: ObjectsOptions,
    }

    fn parse(arguments: &[&str]) -> ObjectsOptions {
        Command::try_parse_from([&["petrel"], arguments].concat()).unwrap().objects
    }

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        let s3 = |bucket: &str, prefix: &str| MediaPlace::S3 {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        for (text, place) in [
            ("media", MediaPlace::Folder("media".into())),
            ("/var/lib/petrel", MediaPlace::Folder("/var/lib/petrel".into())),
            ("s3://chat", s3("chat", "")),
            ("s3://chat/", s3("chat", "")),
            ("s3://chat/a/b/", s3("chat", "a/b")),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for text in ["", "s3://", "s3:///a", "https://a/b", "file:///a"] {
            assert_eq!(text.parse::<MediaPlace>(), Err(ParsePlaceError), "{text}");
        }
    }

    #[test]
    fn s3_says_what_it_lacks_and_never_its_secret() {
        let all = [
            "--s3-endpoint=http://localhost:9000",
            "--s3-access-key=ann",
            "--s3-secret-key=s3cret",
        ];
        for missing in 0..all.len() {
            let mut some = all.to_vec();
            let flag = some.remove(missing).split('=').next().unwrap();
            let error = parse(&some).s3.credentials().err().unwrap().to_string();
            assert!(error.contains(flag), "{error}");
        }
        let options = parse(&all);
        let s3 = options.s3.credentials().unwrap();
        assert_eq!(s3.public_endpoint, s3.endpoint);
        assert!(!format!("{options:?}").contains("s3cret"));
    }
}
