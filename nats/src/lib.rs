//! Petrel on NATS JetStream: every subject, stream, bucket and consumer is named
//! here and nowhere else, and so are the operations on inboxes.

pub mod subject;
