//! Where the bytes of media are: in a folder, or in an S3 bucket.
//!
//! An object is written once and then read or deleted, never moved or changed.
//! It is seen when all of it is there.

#[cfg(feature = "contract")]
pub mod contract;
mod options;
mod receiving;
mod signer;
mod writing;

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::AmazonS3Builder,
    client::{HttpConnector as _, ReqwestConnector},
    local::LocalFileSystem,
    path::Path,
};
use schemas::MediaId;

pub use self::{
    options::{MediaPlace, ObjectsOptions, OpenObjectsError, ParsePlaceError, S3Options},
    receiving::{Begin, LEAST_PIECE, MOST_BYTES, ReceiveError, Received, Receiving},
    signer::{Download, SignedRequest},
    writing::Writing,
};
use self::{
    receiving::{Multipart, Unfinished},
    signer::Signer,
};

/// How long a request to S3 is tried.
const S3_PATIENCE: Duration = Duration::from_secs(15);
/// How often.
const S3_RETRIES: usize = 5;
const S3_CONNECT: Duration = Duration::from_secs(5);

/// The objects of all media; clones share one client.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    unfinished: Unfinished,
    /// Only S3 can sign.
    signer: Option<Signer>,
}

/// One file that belongs to a media id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    /// Whose.
    pub media: MediaId,
    /// Which of its files.
    pub part: Part,
}

/// The files of one media id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// As its owner uploaded it; nobody has looked at it.
    Upload,
    /// As it is served.
    Content,
    /// A small picture of it.
    Thumbnail,
}

impl Part {
    /// Every one there may be.
    pub const ALL: [Self; 3] = [Self::Upload, Self::Content, Self::Thumbnail];
}

/// An object that is being read.
pub struct Reading {
    /// The size of the whole object, in bytes.
    pub size: u64,
    /// Which of its bytes are read.
    pub range: Range<u64>,
    /// They, in pieces.
    pub bytes: BoxStream<'static, Result<Bytes, ObjectError>>,
}

/// Why an object cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It is not there, or not any more.
    #[error("there is no such object")]
    NotFound,
    /// The store does not answer, or refuses.
    #[error("object storage is unavailable")]
    Unavailable(#[source] object_store::Error),
}

impl Objects {
    /// Opens what the options name. A folder is made; whether S3 is there is
    /// seen at the first call.
    ///
    /// # Errors
    /// [`OpenObjectsError`] with what to set.
    pub fn open(options: &ObjectsOptions) -> Result<Self, OpenObjectsError> {
        match &options.media {
            MediaPlace::Folder(folder) => Self::in_folder(folder.clone()),
            MediaPlace::S3 { bucket, prefix } => Self::in_s3(options, bucket, prefix),
        }
    }

    fn in_folder(folder: PathBuf) -> Result<Self, OpenObjectsError> {
        std::fs::create_dir_all(&folder)
            .map_err(|source| OpenObjectsError::Folder { folder: folder.clone(), source })?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(OpenObjectsError::Store)?;
        // What was answered as uploaded survives a power cut.
        let store = Arc::new(store.with_fsync(true));
        let unfinished = Unfinished::Folder(folder);
        Ok(Self { store, prefix: Path::default(), unfinished, signer: None })
    }

    fn in_s3(
        options: &ObjectsOptions,
        bucket: &str,
        prefix: &str,
    ) -> Result<Self, OpenObjectsError> {
        let s3 = options.s3.credentials()?;
        let retries = RetryConfig {
            max_retries: S3_RETRIES,
            retry_timeout: S3_PATIENCE,
            ..RetryConfig::default()
        };
        let client = ClientOptions::new()
            .with_connect_timeout(S3_CONNECT)
            .with_allow_http(s3.endpoint.scheme() == "http");
        let http = ReqwestConnector::default().connect(&client).map_err(OpenObjectsError::Store)?;
        let store = AmazonS3Builder::new()
            .with_endpoint(s3.endpoint.as_str().trim_end_matches('/'))
            .with_region(s3.region)
            .with_bucket_name(bucket)
            .with_access_key_id(s3.access_key)
            .with_secret_access_key(s3.secret_key)
            .with_client_options(client)
            .with_retry(retries)
            .build()
            .map_err(OpenObjectsError::Store)?;
        let store = Arc::new(store);
        let unfinished = Unfinished::S3(Multipart::new(Arc::clone(&store), http));
        let signer = Some(Signer::new(&s3, bucket)?);
        Ok(Self { store, prefix: Path::from(prefix), unfinished, signer })
    }

    /// Begins to write an object; an older one is replaced when it is finished.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn write(&self, object: Object) -> Result<Writing, ObjectError> {
        let upload = self.store.put_multipart(&self.path(object)).await?;
        Ok(Writing::new(upload, self.signer.is_some()))
    }

    /// The size of an object in bytes; nothing where there is none.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn size(&self, object: Object) -> Result<Option<u64>, ObjectError> {
        size_at(&*self.store, &self.path(object)).await
    }

    /// Reads an object, or a part of it that is not empty and begins within it.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], or when the store is unavailable; `bytes` of
    /// the answer, too, when it becomes so.
    pub async fn read(
        &self,
        object: Object,
        range: Option<Range<u64>>,
    ) -> Result<Reading, ObjectError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&self.path(object), options).await?;
        let (size, range) = (found.meta.size, found.range.clone());
        let bytes = found.into_stream().map_err(ObjectError::from).boxed();
        Ok(Reading { size, range, bytes })
    }

    /// Deletes an object. An absent one is no error.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn delete(&self, object: Object) -> Result<(), ObjectError> {
        delete_at(&*self.store, &self.path(object)).await
    }

    /// Removes all that there is of a media id, also what has come in of an
    /// upload that is not finished. There need not be any.
    ///
    /// # Errors
    /// When the store is unavailable; the same again removes what is left.
    pub async fn remove(&self, media: MediaId) -> Result<(), ObjectError> {
        self.abandon(media).await?;
        for part in Part::ALL {
            self.delete(Object { media, part }).await?;
        }
        Ok(())
    }

    /// Whether the store signs addresses, so that bytes go there and come from
    /// there by themselves.
    pub fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    /// A request with which anybody may upload exactly so many bytes of that
    /// type, for so long; nothing where the store cannot sign.
    pub fn sign_upload(
        &self,
        object: Object,
        mime: &str,
        size: u64,
        valid: Duration,
    ) -> Option<SignedRequest> {
        let signer = self.signer.as_ref()?;
        Some(signer.upload(self.path(object).as_ref(), mime, size, valid))
    }

    /// An address from which anybody may download an object, for so long;
    /// nothing where the store cannot sign.
    pub fn sign_download(
        &self,
        object: Object,
        download: &Download<'_>,
        valid: Duration,
    ) -> Option<String> {
        let signer = self.signer.as_ref()?;
        Some(signer.download(self.path(object).as_ref(), download, valid))
    }

    /// Spread over folders by the end of the id, which is random.
    fn path(&self, object: Object) -> Path {
        let Object { media, part } = object;
        let part = match part {
            Part::Upload => "upload",
            Part::Content => "content",
            Part::Thumbnail => "thumbnail",
        };
        self.spread(part, media)
    }

    fn spread(&self, part: &str, media: MediaId) -> Path {
        let id = media.to_string();
        let spread = id.get(id.len() - 2..).unwrap_or_default().to_owned();
        self.prefix.clone().join(part).join(spread).join(id)
    }
}

async fn size_at(store: &dyn ObjectStore, path: &Path) -> Result<Option<u64>, ObjectError> {
    Ok(if_there(store.head(path).await)?.map(|found| found.size))
}

async fn delete_at(store: &dyn ObjectStore, path: &Path) -> Result<(), ObjectError> {
    if_there(store.delete(path).await).map(drop)
}

/// The answer about an object; nothing where there is none.
fn if_there<T>(answer: object_store::Result<T>) -> Result<Option<T>, ObjectError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("store", &self.store.to_string()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reading");
        shown.field("size", &self.size).field("range", &self.range).finish_non_exhaustive()
    }
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            error => Self::Unavailable(error),
        }
    }
}
