//! Deleting every object that a selector matches.

use std::sync::Arc;

use futures::StreamExt;

use super::Target;
use super::delete::delete;
use super::list::{ListOptions, Listed, list};
use super::options::DeleteOptions;
use crate::authenticate::User;
use crate::server::Server;
use crate::status::Result;
use crate::watch_cache::Entry;

/// Deletions under way at once.
const CONCURRENT_MAX: usize = 32;

/// Deletes what matches, and tells what that was, as it was before. The first refusal ends it.
pub async fn delete_collection(
    server: &Server,
    user: &User,
    target: &Target,
    selection: &ListOptions,
    options: &DeleteOptions,
) -> Result<Listed> {
    let mut listed = list(server, target, selection).await?;
    let mut rest = listed.rest.take();
    let mut deleted = delete_all(server, user, target, options, std::mem::take(&mut listed.entries)).await?;
    while let Some(more) = rest {
        let (entries, further) = more.page().await?;
        deleted.extend(delete_all(server, user, target, options, entries).await?);
        rest = further;
    }
    deleted.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Listed { entries: deleted, ..listed })
}

/// Those that were there to be deleted.
async fn delete_all(
    server: &Server,
    user: &User,
    target: &Target,
    options: &DeleteOptions,
    entries: Vec<Arc<Entry>>,
) -> Result<Vec<Arc<Entry>>> {
    let mut deletions = futures::stream::iter(entries)
        .map(|entry| async move {
            let target = target.named(entry.namespace(), entry.name());
            match delete(server, user, &target, options).await {
                Err(failure) if failure.is_not_found() => Ok(None),
                outcome => outcome.map(|_| Some(entry)),
            }
        })
        .buffer_unordered(CONCURRENT_MAX);
    let mut deleted = Vec::new();
    while let Some(done) = deletions.next().await {
        deleted.extend(done?);
    }
    Ok(deleted)
}
