//! The connections to MongoDB.

use std::time::Duration;

use mongodb::{
    Client, Database,
    bson::doc,
    options::{ClientOptions, ConnectionString, ReadConcern, WriteConcern},
};

use super::answer::persist;
use crate::{
    error::DirectoryError,
    open::{OPEN_DEADLINE, OpenError},
    patience::Patience,
};

/// The database, unless the connection string names one.
const DATABASE: &str = "petrel";
/// Connections to each server, unless the connection string says otherwise.
const POOL: u32 = 32;
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to look for a server that fits. Shorter than one request waits, so
/// that the driver can tell why there is none.
const SELECTION_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How long a write waits for the majority before it is asked about again.
const MAJORITY_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Checks a connection string without connecting.
pub(crate) fn check(uri: &str) -> Result<ConnectionString, OpenError> {
    ConnectionString::parse(uri).map_err(|error| OpenError::Uri(error.kind.to_string()))
}

/// Connects, and waits until a server answers.
pub(super) async fn connect(uri: &str) -> Result<Database, OpenError> {
    let uri = check(uri)?;
    let mut patience = Patience::within(OPEN_DEADLINE);
    // May ask the DNS for the servers, so it can fail as the rest can.
    let parse = || ClientOptions::parse(uri.clone()).into_future();
    let options = with_defaults(persist(&mut patience, parse).await?);
    let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
    let client =
        Client::with_options(options).map_err(|error| DirectoryError::Unavailable(error.into()))?;
    let database = client.database(&name);
    persist(&mut patience, || database.run_command(doc! { "ping": 1 }).into_future()).await?;
    Ok(database)
}

fn with_defaults(mut options: ClientOptions) -> ClientOptions {
    options.app_name.get_or_insert_with(|| "petrel".to_owned());
    options.max_pool_size.get_or_insert(POOL);
    options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
    options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
    // No choice of the operator's: without these, what was answered could go.
    let mut majority = WriteConcern::majority();
    majority.w_timeout = Some(MAJORITY_TIMEOUT);
    options.write_concern = Some(majority);
    options.read_concern = Some(ReadConcern::majority());
    options
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_operator_sizes_the_pool_but_the_majority_decides() {
        let uri =
            "mongodb://a:1,b:2/chat?maxPoolSize=5&connectTimeoutMS=7&w=1&readConcernLevel=local";
        let options = with_defaults(ClientOptions::parse(check(uri).unwrap()).await.unwrap());
        assert_eq!(options.max_pool_size, Some(5));
        assert_eq!(options.connect_timeout, Some(Duration::from_millis(7)));
        assert_eq!(options.server_selection_timeout, Some(SELECTION_TIMEOUT));
        assert_eq!(options.default_database.as_deref(), Some("chat"));
        let written = options.write_concern.unwrap();
        assert_eq!(written.w, WriteConcern::majority().w);
        assert_eq!(options.read_concern, Some(ReadConcern::majority()));
    }
}
