//! What may be uploaded, and how much of it.

use std::str::FromStr;

use clap::{Args, builder::NonEmptyStringValueParser};
use mediatype::{MediaType, names};
use store::{Retention, objects::MOST_BYTES};

/// Pictures, sound, films, documents, archives, and ciphertext.
const TYPES: &str = "image/jpeg,image/png,image/gif,image/webp,audio/*,video/*,text/plain,\
    application/pdf,application/zip,application/octet-stream,application/msword,\
    application/vnd.ms-excel,application/vnd.ms-powerpoint,\
    application/vnd.oasis.opendocument.text,application/vnd.oasis.opendocument.spreadsheet,\
    application/vnd.oasis.opendocument.presentation,\
    application/vnd.openxmlformats-officedocument.wordprocessingml.document,\
    application/vnd.openxmlformats-officedocument.spreadsheetml.sheet,\
    application/vnd.openxmlformats-officedocument.presentationml.presentation";
const MIB: u64 = 1024 * 1024;

/// What may be uploaded, and how much of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Media")]
pub struct MediaOptions {
    /// Media types that may be uploaded, separated by commas; audio/* is all of
    /// audio. The media worker looks whether the content is of that type.
    #[arg(long, env = "PETREL_MEDIA_TYPES", value_name = "TYPES", default_value = TYPES)]
    pub media_types: MediaTypes,

    /// Most bytes of one upload.
    #[arg(long, env = "PETREL_MEDIA_MAX_BYTES", default_value_t = 100 * MIB,
          value_parser = clap::value_parser!(u64).range(1..=MOST_BYTES))]
    pub media_max_bytes: u64,

    /// Most bytes of one user's uploads that are kept at a time.
    #[arg(long, env = "PETREL_MEDIA_QUOTA_BYTES", default_value_t = 2048 * MIB)]
    pub media_quota_bytes: u64,

    /// Most uploads of one user that are kept at a time.
    #[arg(long, env = "PETREL_MEDIA_QUOTA_COUNT", default_value_t = 10_000)]
    pub media_quota_count: u64,

    /// How long they are kept.
    #[command(flatten)]
    pub retention: Retention,

    /// Where clients find the gateways, for the addresses in answers:
    /// `https://chat.example`. Where not given, each is told the host it asked.
    #[arg(long, env = "PETREL_PUBLIC_URL", value_name = "URL",
          value_parser = NonEmptyStringValueParser::new())]
    pub public_url: Option<String>,
}

/// Media types, and ranges of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaTypes(Vec<String>);

/// A media type as it is compared and stored: `image/png`, in lower case and
/// without parameters; nothing where it is none.
pub(crate) fn essence(mime: &str) -> Option<String> {
    let parsed = MediaType::parse(mime.trim()).ok()?;
    let is_concrete = parsed.ty != names::_STAR && parsed.subty != names::_STAR;
    is_concrete.then(|| parsed.essence().to_string().to_ascii_lowercase())
}

impl MediaTypes {
    /// Whether this one, as [`essence`] gives it, may be uploaded.
    pub(crate) fn allow(&self, mime: &str) -> bool {
        self.0.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(range) => range == "*/" || mime.starts_with(range),
            None => allowed == mime,
        })
    }
}

impl FromStr for MediaTypes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |entry: &str| {
            let is_type = match entry.strip_suffix("/*") {
                // A type of its own takes the place of the star.
                Some(range) => range == "*" || essence(&format!("{range}/x")).is_some(),
                None => essence(entry).is_some() && !entry.contains(';'),
            };
            let refused = || format!("{entry:?} is no media type, such as image/png or audio/*");
            is_type.then(|| entry.to_ascii_lowercase()).ok_or_else(refused)
        };
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_are_allowed_by_name_or_by_range() {
        let types: MediaTypes = "image/PNG, audio/*,application/vnd.x+json".parse().unwrap();
        for mime in ["image/png", "audio/ogg", "audio/x-y.z", "application/vnd.x+json"] {
            assert!(types.allow(mime), "{mime}");
        }
        for mime in ["image/jpeg", "audio", "video/ogg", "image/pngx", "application/json", ""] {
            assert!(!types.allow(mime), "{mime}");
        }
        assert!("*/*".parse::<MediaTypes>().unwrap().allow("x/y"));
        assert!(!"".parse::<MediaTypes>().unwrap().allow("x/y"));
    }

    #[test]
    fn what_is_no_type_is_not_taken_for_one() {
        for text in ["image", "image/", "/png", "image/png;q=1", "a b/c", "image/*/x", "*", "*/png"]
        {
            assert!(text.parse::<MediaTypes>().is_err(), "{text}");
        }
        for text in ["", "image", "image/", "/png", "image/*", "*/png", "*/*", "a/b, c/d", "a b/c"]
        {
            assert_eq!(essence(text), None, "{text}");
        }
    }

    #[test]
    fn a_type_is_compared_without_case_and_parameters() {
        for text in ["image/png", "Image/PNG", " image/png ", "image/png; x=\"y;z\""] {
            assert_eq!(essence(text).as_deref(), Some("image/png"), "{text}");
        }
    }

    #[test]
    fn the_default_allows_no_pages_and_no_scripts() {
        let types: MediaTypes = TYPES.parse().unwrap();
        for mime in ["image/jpeg", "video/mp4", "application/octet-stream", "text/plain"] {
            assert!(types.allow(mime), "{mime}");
        }
        for mime in ["image/svg+xml", "text/html", "text/javascript", "application/xhtml+xml"] {
            assert!(!types.allow(mime), "{mime}");
        }
    }
}
