//! Deleting every object that a selector matches.

use futures::StreamExt;

use super::Target;
use super::delete::delete;
use super::list::{ListOptions, list};
use super::options::DeleteOptions;
use crate::server::Server;
use crate::status::Result;

/// Deletions under way at once.
const CONCURRENT_MAX: usize = 32;

/// Deletes what matches; says how many. The first refusal ends it.
pub async fn delete_collection(
    server: &Server,
    target: &Target,
    labels: &str,
    fields: &str,
    options: &DeleteOptions,
) -> Result<i64> {
    let selection = ListOptions { labels: labels.to_owned(), fields: fields.to_owned(), ..Default::default() };
    let listed = list(server, target, &selection).await?;
    let mut deletions = futures::stream::iter(listed.entries)
        .map(|entry| async move {
            let target = target.named(entry.namespace(), entry.name());
            match delete(server, &target, options).await {
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
