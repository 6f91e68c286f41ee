//! Deleting every object that a selector matches.

use std::sync::Arc;

use futures::StreamExt;

use super::Target;
use super::delete::delete;
use super::list::{ListOptions, list};
use super::options::DeleteOptions;
use crate::authenticate::User;
use crate::server::Server;
use crate::status::Result;
use crate::watch_cache::Entry;

/// Deletions under way at once.
const CONCURRENT_MAX: usize = 32;

/// Deletes what matches; says how many. The first refusal ends it.
pub async fn delete_collection(
    server: &Server,
    user: &User,
    target: &Target,
    labels: &str,
    fields: &str,
    options: &DeleteOptions,
) -> Result<i64> {
    let selection = ListOptions { labels: labels.to_owned(), fields: fields.to_owned(), ..Default::default() };
    let mut listed = list(server, target, &selection).await?;
    let mut count = delete_all(server, user, target, options, std::mem::take(&mut listed.entries)).await?;
    let mut rest = listed.rest;
    while let Some(more) = rest {
        let (entries, further) = more.page().await?;
        count += delete_all(server, user, target, options, entries).await?;
        rest = further;
    }
    Ok(count)
}

async fn delete_all(
    server: &Server,
    user: &User,
    target: &Target,
    options: &DeleteOptions,
    entries: Vec<Arc<Entry>>,
) -> Result<i64> {
    let mut deletions = futures::stream::iter(entries)
        .map(|entry| async move {
            let target = target.named(entry.namespace(), entry.name());
            match delete(server, user, &target, options).await {
                Err(failure) if failure.is_not_found() => Ok(0),
                outcome => outcome.map(|_| 1),
            }
        })
        .buffer_unordered(CONCURRENT_MAX);
    let mut count = 0;
    while let Some(done) = deletions.next().await {
        count += done?;
    }
    Ok(count)
}
