//! Documents in a collection: read, and change by compare-and-set.

use std::marker::PhantomData;

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection, IndexModel,
    bson::{self, Bson, Document, doc},
    options::{IndexOptions, ReadConcern, ReadPreference, SelectionCriteria},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::warn;

use super::answer::{is_duplicate, persist, unanswered};
use crate::{
    documents::{Age, Decided, Decision},
    error::{DirectoryError, Source},
    open::OpenError,
    patience::{Patience, Trouble},
};

/// MongoDB's name for a document's id.
const ID: &str = "_id";
/// What the documents themselves call it.
const OWN_ID: &str = "id";
/// Rises with every change: what a change compares.
const REVISION: &str = "revision";

/// One collection.
pub(super) struct Records<D> {
    collection: Collection<Document>,
    kind: PhantomData<fn() -> D>,
}

/// A document's newest state.
struct Entry<D> {
    document: D,
    revision: i64,
}

impl<D: Serialize + DeserializeOwned> Records<D> {
    pub(super) fn new(collection: Collection<Document>) -> Self {
        Self { collection, kind: PhantomData }
    }

    /// Makes an index if it is not there, and checks that it is as it should be.
    pub(super) async fn index(&self, field: &'static str, unique: bool) -> Result<(), OpenError> {
        let options = IndexOptions::builder().unique(unique.then_some(true)).build();
        let index = IndexModel::builder().keys(doc! { field: 1 }).options(options).build();
        let mut patience = Patience::new();
        let create = || self.collection.create_index(index.clone()).into_future();
        persist(&mut patience, create).await?;
        let list = || async { self.collection.list_indexes().await?.try_collect::<Vec<_>>().await };
        let indexes: Vec<IndexModel> = persist(&mut patience, list).await?;
        let found = indexes.iter().find(|found| found.keys.keys().eq([field]));
        let is_unique = |found: &IndexModel| {
            found.options.as_ref().and_then(|options| options.unique).unwrap_or_default()
        };
        if found.map(is_unique) == Some(unique) {
            return Ok(());
        }
        Err(OpenError::Index { collection: self.collection.name().to_owned(), field })
    }

    /// One document that matches.
    pub(super) async fn find_one(
        &self,
        filter: Document,
        age: Age,
    ) -> Result<Option<D>, DirectoryError> {
        let mut patience = Patience::new();
        let found = self.look(&filter, age, &mut patience).await?;
        if found.is_some() || age == Age::Newest {
            return found.map(|entry| Ok(entry.document)).transpose();
        }
        let found = self.look(&filter, Age::Newest, &mut patience).await?;
        Ok(found.map(|entry| entry.document))
    }

    /// All documents that match.
    pub(super) async fn find(&self, filter: Document, age: Age) -> Result<Vec<D>, DirectoryError> {
        let find = || async {
            let found = self.collection.find(filter.clone()).selection_criteria(criteria(age));
            found.await?.try_collect::<Vec<Document>>().await
        };
        let found = persist(&mut Patience::new(), find).await?;
        found.into_iter().map(|stored| Ok(self.decode(stored)?.document)).collect()
    }

    /// The first documents that match, by their id, as a secondary may have them,
    /// and the id of the last one.
    pub(super) async fn first(
        &self,
        filter: Document,
        limit: usize,
    ) -> Result<(Vec<D>, Option<String>), DirectoryError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = || async {
            let found = self.collection.find(filter.clone()).sort(doc! { ID: 1 }).limit(limit);
            let found = found.selection_criteria(criteria(Age::Any));
            found.await?.try_collect::<Vec<Document>>().await
        };
        let found = persist(&mut Patience::new(), find).await?;
        let last = found.last().and_then(|stored| stored.get_str(ID).ok()).map(str::to_owned);
        let readable = |stored| match self.decode(stored) {
            Ok(entry) => Some(entry.document),
            // One of them must not hide all after it.
            Err(error) => {
                warn!(%error, "left out of a list");
                None
            }
        };
        Ok((found.into_iter().filter_map(readable).collect(), last))
    }

    /// Stores a new document with further fields; false when a unique index
    /// has its key already.
    pub(super) async fn insert(
        &self,
        id: &str,
        document: &D,
        further: Document,
    ) -> Result<bool, DirectoryError> {
        let mut stored = self.encode(id, document, 1)?;
        stored.extend(further);
        let mut patience = Patience::new();
        let mut in_doubt = false;
        loop {
            match patience.wait(self.collection.insert_one(&stored).into_future()).await {
                Ok(_) => return Ok(true),
                Err(source) if is_duplicate(&source) => {
                    // It may be an earlier try that is in the way.
                    if !in_doubt || !self.is_there(id, &mut patience).await? {
                        return Ok(false);
                    }
                    // It counts when the majority has it.
                    if self.newest(id, &mut patience).await?.is_some() {
                        return Ok(true);
                    }
                    patience.pause(Trouble::Unanswered(source)).await?;
                }
                Err(source) => patience.pause(unanswered(source)?).await?,
            }
            in_doubt = true;
        }
    }

    /// Stores a document, whatever was there before; fields that only another
    /// version knows stay.
    pub(super) async fn put(&self, id: &str, document: &D) -> Result<(), DirectoryError> {
        let mut fields = self.encode(id, document, 1)?;
        fields.remove(ID);
        let put = || {
            let put = self.collection.update_one(doc! { ID: id }, doc! { "$set": &fields });
            put.upsert(true).into_future()
        };
        let trouble = |source| {
            // Somebody else has just stored the first one.
            if is_duplicate(&source) { Ok(Trouble::Contended) } else { unanswered(source) }
        };
        Patience::new().persist(put, trouble).await.map(drop)
    }

    /// Changes a document that is there, as
    /// [`Documents`](crate::documents::Documents) tells.
    pub(super) async fn change<T, E>(
        &self,
        id: &str,
        mut decide: impl FnMut(Option<D>, Option<&T>) -> Decided<D, T, E>,
    ) -> Result<T, E>
    where
        E: From<DirectoryError>,
    {
        let mut patience = Patience::new();
        let mut in_doubt = None;
        loop {
            let (document, revision) = match self.newest(id, &mut patience).await? {
                Some(Entry { document, revision }) => (Some(document), revision),
                None => (None, 0),
            };
            let (written, answer) = match decide(document, in_doubt.as_ref())? {
                Decision::Keep(answer) => return Ok(answer),
                Decision::Store(document, answer) => {
                    let stored = self.encode(id, &document, revision + 1)?;
                    (self.replace(id, revision, &stored, &patience).await, answer)
                }
                Decision::Delete(answer) => (self.delete(id, revision, &patience).await, answer),
            };
            let trouble = match written {
                Ok(true) => return Ok(answer),
                Ok(false) => Trouble::Contended,
                Err(source) => {
                    in_doubt = Some(answer);
                    unanswered(source)?
                }
            };
            patience.pause(trouble).await?;
        }
    }

    /// Removes the documents that match, one by one for others.
    pub(super) async fn remove(&self, filter: Document) -> Result<(), DirectoryError> {
        let remove = || self.collection.delete_many(filter.clone()).into_future();
        persist(&mut Patience::new(), remove).await.map(drop)
    }

    /// Answers whether the document had that revision.
    async fn replace(
        &self,
        id: &str,
        revision: i64,
        stored: &Document,
        patience: &Patience,
    ) -> Result<bool, Source> {
        let replace = self.collection.replace_one(doc! { ID: id, REVISION: revision }, stored);
        Ok(patience.wait(replace.into_future()).await?.matched_count > 0)
    }

    /// Answers whether the document had that revision.
    async fn delete(&self, id: &str, revision: i64, patience: &Patience) -> Result<bool, Source> {
        let delete = self.collection.delete_one(doc! { ID: id, REVISION: revision });
        Ok(patience.wait(delete.into_future()).await?.deleted_count > 0)
    }

    /// Whether the primary has such a document, even if nobody else has it yet.
    async fn is_there(&self, id: &str, patience: &mut Patience) -> Result<bool, DirectoryError> {
        let find = || {
            let found = self.collection.find_one(doc! { ID: id });
            let found = found.selection_criteria(criteria(Age::Newest));
            found.read_concern(ReadConcern::local()).into_future()
        };
        Ok(persist(patience, find).await?.is_some())
    }

    async fn newest(
        &self,
        id: &str,
        patience: &mut Patience,
    ) -> Result<Option<Entry<D>>, DirectoryError> {
        self.look(&doc! { ID: id }, Age::Newest, patience).await
    }

    async fn look(
        &self,
        filter: &Document,
        age: Age,
        patience: &mut Patience,
    ) -> Result<Option<Entry<D>>, DirectoryError> {
        let find = || {
            let found = self.collection.find_one(filter.clone());
            found.selection_criteria(criteria(age)).into_future()
        };
        let found = persist(patience, find).await?;
        found.map(|stored| self.decode(stored)).transpose()
    }

    fn encode(&self, id: &str, document: &D, revision: i64) -> Result<Document, DirectoryError> {
        let encoded = bson::serialize_to_document(document);
        let mut stored = encoded.map_err(|error| self.unreadable(id, error))?;
        stored.remove(OWN_ID);
        stored.insert(ID, id);
        stored.insert(REVISION, revision);
        Ok(stored)
    }

    fn decode(&self, mut stored: Document) -> Result<Entry<D>, DirectoryError> {
        let id = stored.remove(ID).unwrap_or(Bson::Null);
        let key = id.as_str().unwrap_or_default().to_owned();
        stored.insert(OWN_ID, id);
        let revision = stored.remove(REVISION).and_then(|revision| revision.as_i64());
        let revision = revision.ok_or_else(|| self.unreadable(&key, "no revision"))?;
        let document = bson::deserialize_from_document(stored);
        let document = document.map_err(|error| self.unreadable(&key, error))?;
        Ok(Entry { document, revision })
    }

    fn unreadable(&self, id: &str, error: impl Into<Source>) -> DirectoryError {
        DirectoryError::Unreadable {
            key: format!("{}.{id}", self.collection.name()),
            source: error.into(),
        }
    }
}

/// Without a primary the newest state is not to be had, but one that may be
/// old is.
fn criteria(age: Age) -> SelectionCriteria {
    SelectionCriteria::ReadPreference(match age {
        Age::Any => ReadPreference::PrimaryPreferred { options: None },
        Age::Newest => ReadPreference::Primary,
    })
}

impl<D> Clone for Records<D> {
    fn clone(&self) -> Self {
        Self { collection: self.collection.clone(), kind: PhantomData }
    }
}
