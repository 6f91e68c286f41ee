//! Deleting every object that a selector matches.

use std::sync::Arc;

use futures::StreamExt;

use super::Target;
use super::delete::delete;
use super::list::{ListOptions, Listed, list};
use super::options::DeleteOptions;
use super::write::tell;
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
    warnings: &mut Vec<String>,
) -> Result<Listed> {
    let mut listed = list(server, target, selection).await?;
    let mut rest = listed.rest.take();
    let entries = std::mem::take(&mut listed.entries);
    let mut deleted = delete_all(server, user, target, options, entries, warnings).await?;
    while let Some(more) = rest {
        let (entries, further) = more.page().await?;
        deleted.extend(delete_all(server, user, target, options, entries, warnings).await?);
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
    warnings: &mut Vec<String>,
) -> Result<Vec<Arc<Entry>>> {
    let mut deletions = futures::stream::iter(entries)
        .map(|entry| async move {
            let target = target.named(entry.namespace(), entry.name());
            let mut told = Vec::new();
            let outcome = match delete(server, user, &target, options, &mut told).await {
                Err(failure) if failure.is_not_found() => Ok(None),
                outcome => outcome.map(|_| Some(entry)),
            };
            (outcome, told)
        })
        .buffer_unordered(CONCURRENT_MAX);
    let mut deleted = Vec::new();
    while let Some((done, told)) = deletions.next().await {
        tell(warnings, told);
        deleted.extend(done?);
    }
    Ok(deleted)
}
