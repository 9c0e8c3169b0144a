//! Addresses of S3 that carry their own permission.
//!
//! object_store signs too, but an upload only by its address: it would take any
//! number of bytes of any type. Here both are part of what is signed.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use url::Url;

use super::options::{OpenObjectsError, S3};

/// A request that whoever has it may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// Where to.
    pub url: String,
    /// Headers that have to come with it, exactly so.
    pub headers: Vec<(&'static str, String)>,
}

/// How the store is to present what is downloaded.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// The `Content-Type`.
    pub mime: &'a str,
    /// The `Content-Disposition`.
    pub disposition: &'a str,
}

/// Signs for one bucket, as clients reach it.
#[derive(Clone)]
pub(super) struct Signer {
    bucket: Bucket,
    credentials: Credentials,
}

impl Signer {
    pub(super) fn new(s3: &S3<'_>, bucket: &str) -> Result<Self, OpenObjectsError> {
        let endpoint: Url = s3.public_endpoint.clone();
        let region = s3.region.to_owned();
        let bucket = Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), region)
            .map_err(|error| OpenObjectsError::Endpoint(error.to_string()))?;
        Ok(Self { bucket, credentials: Credentials::new(s3.access_key, s3.secret_key) })
    }

    pub(super) fn upload(
        &self,
        path: &str,
        mime: &str,
        size: u64,
        valid: Duration,
    ) -> SignedRequest {
        let headers = vec![("content-type", mime.to_owned()), ("content-length", size.to_string())];
        let mut put = self.bucket.put_object(Some(&self.credentials), path);
        for (name, value) in &headers {
            put.headers_mut().insert(*name, value.clone());
        }
        SignedRequest { url: put.sign(valid).into(), headers }
    }

    pub(super) fn download(&self, path: &str, download: &Download<'_>, valid: Duration) -> String {
        let mut get = self.bucket.get_object(Some(&self.credentials), path);
        let query = get.query_mut();
        query.insert("response-content-type", download.mime.to_owned());
        query.insert("response-content-disposition", download.disposition.to_owned());
        get.sign(valid).into()
    }
}
