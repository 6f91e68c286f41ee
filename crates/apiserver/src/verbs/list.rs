//! Lists: from the watch cache where it can answer, from the store at a revision where it cannot.

use std::sync::Arc;

use super::Target;
use super::options::{filter, parse_version};
use super::page_token::{NEWEST, PageToken};
use crate::components;
use crate::registry::Resource;
use crate::server::Server;
use crate::status::{Failure, Result, cause};
use crate::storage::{Record, Store};
use crate::watch_cache::{Entry, Filter};

/// Objects read from the store at once, and about how many bytes.
const PAGE_LEN: i64 = 500;
const PAGE_BYTES: u64 = 4 << 20;

const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a \
new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
deleted between the time the first chunk was returned and now may show up in the list.";

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// As `kubectl -l` writes it.
    pub labels: String,
    /// As `kubectl --field-selector` writes it.
    pub fields: String,
    /// At most so many objects; 0: all.
    pub limit: i64,
    /// The token of the page before.
    pub token: String,
    /// Empty: consistent; "0": any; else as `version_match` says.
    pub resource_version: String,
    /// "", "NotOlderThan" or "Exact".
    pub version_match: String,
}

/// A list, or a page of one.
#[derive(Debug)]
pub struct Listed {
    /// The revision of the whole list.
    pub revision: i64,
    /// In key order.
    pub entries: Vec<Arc<Entry>>,
    /// The token of the next page; empty on the last.
    pub token: String,
    /// How many objects follow, where known.
    pub remaining: Option<i64>,
    /// What is still to be read of it.
    pub rest: Option<Rest>,
}

/// The part of a list that is still in the store: read while the list is answered, so that memory does not grow with it.
#[derive(Debug)]
pub struct Rest {
    store: Arc<Store>,
    resource: Arc<Resource>,
    wanted: Filter,
    prefix: String,
    at: String,
    /// 0 until the first page was read.
    revision: i64,
}

impl Rest {
    /// The next page, and what follows it.
    pub async fn page(self) -> Result<(Vec<Arc<Entry>>, Option<Self>)> {
        self.first().await.map(|(_, entries, rest)| (entries, rest))
    }

    /// With the revision of the whole list.
    async fn first(mut self) -> Result<(i64, Vec<Arc<Entry>>, Option<Self>)> {
        let page = self.store.page(&self.prefix, &self.at, page_len(&self.resource), self.revision).await?;
        if self.revision == 0 {
            self.revision = page.revision;
        }
        let readable = page.records.iter().filter_map(|record| readable(&self.resource, record));
        let entries = readable.filter(|entry| self.wanted.matches(entry)).map(Arc::new).collect();
        let revision = self.revision;
        let more =
            page.records.last().filter(|_| page.more).map(|last| String::from_utf8_lossy(&last.key).into_owned());
        let rest = more.map(|last| Self { at: format!("{last}\0"), ..self });
        Ok((revision, entries, rest))
    }
}

/// Large objects come in smaller numbers.
fn page_len(resource: &Resource) -> i64 {
    let (len, bytes) = resource.cache.size();
    let each = bytes.checked_div(len).unwrap_or(0).max(1);
    i64::try_from(PAGE_BYTES / each).unwrap_or(PAGE_LEN).clamp(1, PAGE_LEN)
}

/// As in the cache: one damaged object does not hide all others.
fn readable(resource: &Resource, record: &Record) -> Option<Entry> {
    resource
        .entry(record)
        .inspect_err(|error| tracing::error!(%error, "an object in the store is unreadable and is not listed"))
        .ok()
}

/// Where a list is read.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// From the cache, once it holds everything the store holds now.
    Consistent,
    /// From the cache, not older than this.
    Cache(i64),
    /// From the store, at this revision (0: now), from this key on.
    Store { revision: i64, start: String },
}

/// The objects.
pub async fn list(server: &Server, target: &Target, options: &ListOptions) -> Result<Listed> {
    let resource = &target.resource;
    let wanted = filter(resource, &target.namespace, &target.name, &options.labels, &options.fields)?;
    if components::are(target) {
        return Ok(components::list(server, &wanted).await);
    }
    // As upstream: a limit below zero is none, and who goes on at any version at all gets all that is left.
    let any = !options.token.is_empty() && options.resource_version == "0";
    let limit = if any { 0 } else { options.limit.max(0) };
    match source(options)? {
        Source::Consistent if server.make_fresh(resource).await? => Ok(from_cache(target, &wanted, limit)),
        Source::Consistent => from_store(server, target, &wanted, limit, 0, String::new()).await,
        Source::Cache(revision) if server.reach(resource, revision).await? => Ok(from_cache(target, &wanted, limit)),
        Source::Cache(_) => from_store(server, target, &wanted, limit, 0, String::new()).await,
        Source::Store { revision, start } => {
            let listed = from_store(server, target, &wanted, limit, revision, start.clone()).await;
            listed.map_err(|failure| with_fresh_token(failure, options, start))
        }
    }
}

fn source(options: &ListOptions) -> Result<Source> {
    let version = parse_version(&options.resource_version)
        .map_err(|failure| Failure::bad_request(format!("invalid resource version: {}", failure.0.message)))?;
    if !options.token.is_empty() {
        if !options.version_match.is_empty() {
            return Err(bad_match("Forbidden: resourceVersionMatch is forbidden when continue is provided"));
        }
        if version.is_some_and(|version| version != 0) {
            return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
        }
        let token = PageToken::decode(&options.token)?;
        let revision = if token.rv == NEWEST { 0 } else { token.rv };
        return Ok(Source::Store { revision, start: token.start });
    }
    match (options.version_match.as_str(), version) {
        ("", None) => Ok(Source::Consistent),
        // As upstream: a page of an old list is a page of exactly that list.
        ("", Some(version)) if options.limit > 0 && version > 0 => {
            Ok(Source::Store { revision: version, start: String::new() })
        }
        ("" | "NotOlderThan", Some(version)) => Ok(Source::Cache(version)),
        ("Exact", Some(version)) if version > 0 => Ok(Source::Store { revision: version, start: String::new() }),
        ("Exact", Some(_)) => {
            Err(bad_match("Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""))
        }
        ("NotOlderThan" | "Exact", None) => {
            Err(bad_match("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"))
        }
        (other, _) => {
            let message =
                format!("Unsupported value: \"{other}\": supported values: \"\", \"Exact\", \"NotOlderThan\"");
            Err(bad_match_as("FieldValueNotSupported", message))
        }
    }
}

fn bad_match(message: &str) -> Failure {
    bad_match_as("FieldValueForbidden", message.to_owned())
}

fn bad_match_as(reason: &str, message: String) -> Failure {
    Failure::invalid("meta.k8s.io", "ListOptions", "", vec![cause(reason, "resourceVersionMatch", message)])
}

fn from_cache(target: &Target, wanted: &Filter, limit: i64) -> Listed {
    let (mut entries, revision) = target.resource.cache.list(wanted);
    let limit = usize::try_from(limit).unwrap_or(0);
    if limit == 0 || entries.len() <= limit {
        return Listed { revision, entries, token: String::new(), remaining: None, rest: None };
    }
    let beyond = entries.len() - limit;
    entries.truncate(limit);
    let token = token_after(&entries, revision, wanted);
    let remaining = wanted.is_plain().then_some(beyond as i64);
    Listed { revision, entries, token, remaining, rest: None }
}

async fn from_store(
    server: &Server,
    target: &Target,
    wanted: &Filter,
    limit: i64,
    revision: i64,
    start: String,
) -> Result<Listed> {
    let resource = &target.resource;
    // A selector may name the namespace as well; tokens are relative to it, too.
    let prefix = match wanted.namespace.as_str() {
        "" => resource.prefix.clone(),
        namespace => format!("{}{namespace}/", resource.prefix),
    };
    let mut at = format!("{prefix}{start}");
    let (mut revision, mut entries) = (revision, Vec::new());
    let limit = usize::try_from(limit).unwrap_or(0);
    if limit == 0 {
        let (store, resource, wanted) = (Arc::clone(&server.store), Arc::clone(resource), wanted.clone());
        let rest = Rest { store, resource, wanted, prefix, at, revision };
        let (revision, entries, rest) = rest.first().await?;
        return Ok(Listed { revision, entries, token: String::new(), remaining: None, rest });
    }
    loop {
        let most = page_len(resource);
        let ask = if wanted.is_plain() { most.min((limit - entries.len()) as i64) } else { most };
        let page = server.store.page(&prefix, &at, ask, revision).await?;
        if revision == 0 {
            revision = page.revision;
        }
        let read = page.records.len() as i64;
        for (seen, record) in page.records.iter().enumerate() {
            entries.extend(readable(resource, record).filter(|entry| wanted.matches(entry)).map(Arc::new));
            if entries.len() == limit {
                let follow = page.count - seen as i64 - 1;
                return Ok(cut(entries, revision, follow, wanted));
            }
        }
        match page.records.last() {
            Some(last) if page.more && read > 0 => at = format!("{}\0", String::from_utf8_lossy(&last.key)),
            _ => return Ok(Listed { revision, entries, token: String::new(), remaining: None, rest: None }),
        }
    }
}

/// A page that ends where the limit was reached, with `follow` keys behind it.
fn cut(entries: Vec<Arc<Entry>>, revision: i64, follow: i64, wanted: &Filter) -> Listed {
    if follow <= 0 {
        return Listed { revision, entries, token: String::new(), remaining: None, rest: None };
    }
    let token = token_after(&entries, revision, wanted);
    let remaining = wanted.is_plain().then_some(follow);
    Listed { revision, entries, token, remaining, rest: None }
}

/// The token of the page after these; it is relative to what is listed: one namespace, or all.
fn token_after(entries: &[Arc<Entry>], revision: i64, wanted: &Filter) -> String {
    let Some(last) = entries.last() else { return String::new() };
    let key = if wanted.namespace.is_empty() { &*last.key } else { last.name() };
    PageToken::after(key, revision).encode()
}

/// An expired token is answered with one that goes on at the newest state.
fn with_fresh_token(mut failure: Failure, options: &ListOptions, start: String) -> Failure {
    if failure.code() == 410 && !options.token.is_empty() {
        let last = start.trim_end_matches('\0');
        failure.0.message = EXPIRED.to_owned();
        failure.0.metadata.r#continue = PageToken::after(last, NEWEST).encode();
    }
    failure
}
