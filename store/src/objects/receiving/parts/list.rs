//! Which parts of a multipart upload there are, which object_store does not ask.

use std::time::Duration;

use http::{Method, StatusCode};
use object_store::{
    aws::AmazonS3,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use serde::Deserialize;

use crate::objects::ObjectError;

/// How long the signed question is good for.
const VALID: Duration = Duration::from_secs(60);
/// Most answers that are read, of 1,000 parts each: S3 has no more parts.
const PAGES: usize = 11;

/// A part that is there.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    #[serde(rename = "PartNumber")]
    pub(super) number: usize,
    #[serde(rename = "Size")]
    pub(super) size: usize,
    /// What finishing the upload names it by. Some servers need none, and so
    /// tell none.
    #[serde(rename = "ETag", default)]
    pub(super) tag: String,
}

#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
    #[serde(rename = "IsTruncated", default)]
    is_truncated: bool,
    #[serde(rename = "NextPartNumberMarker")]
    next: Option<String>,
}

/// All parts in any order; nothing where there is no such upload.
pub(super) async fn parts(
    s3: &AmazonS3,
    http: &HttpClient,
    target: &Path,
    id: &str,
) -> Result<Option<Vec<Part>>, ObjectError> {
    let mut parts = Vec::new();
    let mut marker = None;
    for _ in 0..PAGES {
        let Some(listed) = page(s3, http, target, id, marker).await? else { return Ok(None) };
        parts.extend(listed.parts);
        marker = listed.next.filter(|_| listed.is_truncated);
        if marker.is_none() {
            break;
        }
    }
    Ok(Some(parts))
}

async fn page(
    s3: &AmazonS3,
    http: &HttpClient,
    target: &Path,
    id: &str,
    marker: Option<String>,
) -> Result<Option<Listed>, ObjectError> {
    let query = [("uploadId", id.to_owned())];
    let marker = marker.map(|marker| ("part-number-marker", marker));
    let options = SignedUrlOptions::new().with_query(query.into_iter().chain(marker));
    let url = s3.signed_url_opts(Method::GET, target, VALID, &options).await?;
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.as_str().parse().map_err(unavailable)?;
    let answer = http.execute(request).await.map_err(unavailable)?;
    let (head, body) = answer.into_parts();
    let body = body.bytes().await.map_err(unavailable)?;
    match head.status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => {
            let text = String::from_utf8_lossy(&body);
            quick_xml::de::from_str(&text).map(Some).map_err(unavailable)
        }
        status => Err(unavailable(format!("parts are not listed: {status}"))),
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ObjectError {
    let source = error.into();
    ObjectError::Unavailable(object_store::Error::Generic { store: "S3", source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_s3_answers_is_read() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>media</Bucket><Key>a</Key><UploadId>b</UploadId>
              <PartNumberMarker>1</PartNumberMarker>
              <NextPartNumberMarker>3</NextPartNumberMarker>
              <MaxParts>2</MaxParts><IsTruncated>true</IsTruncated>
              <Part>
                <PartNumber>2</PartNumber><LastModified>2026-11-24T18:00:00.000Z</LastModified>
                <ETag>"7778aef83f66abc1fa1e8477f296d394"</ETag><Size>10485760</Size>
              </Part>
              <Part><PartNumber>3</PartNumber><Size>5</Size></Part>
              <Initiator><ID>x</ID></Initiator>
            </ListPartsResult>"#;
        let listed: Listed = quick_xml::de::from_str(text).unwrap();
        assert_eq!((listed.is_truncated, listed.next.as_deref()), (true, Some("3")));
        let [one, other] = &listed.parts[..] else { panic!("{listed:?}") };
        assert_eq!((one.number, one.size), (2, 10_485_760));
        assert_eq!(one.tag, "\"7778aef83f66abc1fa1e8477f296d394\"");
        assert_eq!((other.number, other.size, other.tag.as_str()), (3, 5, ""));
        let none = "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>";
        assert!(quick_xml::de::from_str::<Listed>(none).unwrap().parts.is_empty());
    }
}
