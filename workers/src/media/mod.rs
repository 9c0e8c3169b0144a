//! The media worker: it looks at what was uploaded and says what of it is served.

mod content;
mod picture;
