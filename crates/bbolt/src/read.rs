//! Reading a file that anybody may have made: every number is checked before it is used, a page is read at most once in a
//! walk, and no more memory is asked for than the file has bytes.

use std::io;

use crate::format::{
    BRANCH, BUCKET, BUCKET_HEADER_LEN, ELEMENT_LEN, LEAF, META, META_LEN, Meta, PAGE_HEADER_LEN, PageHeader,
    page_sizes, u32_at, u64_at,
};

/// Levels of a tree, at most; a tree of the largest file has fewer than ten.
const DEPTH_MAX: usize = 64;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the database")]
    Io(#[from] io::Error),
    #[error("this is no bbolt database, or both of its first pages are damaged")]
    NoMeta,
    #[error("page {page} of the database is damaged: {reason}")]
    Damaged { page: u64, reason: &'static str },
}

/// Where a database's bytes are.
pub trait Source {
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` as far as there are bytes and says how far that was.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Source for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Source for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// An open database.
pub struct Db<S> {
    source: S,
    meta: Meta,
    size: u64,
}

impl<S: Source> Db<S> {
    /// Opens a database; bytes behind its last page do not count.
    pub fn open(source: S) -> Result<Self, Error> {
        let size = source.size()?;
        let meta = newest_meta(&source)?.ok_or(Error::NoMeta)?;
        Ok(Self { source, meta, size })
    }

    /// Bytes of the database.
    pub fn bytes(&self) -> u64 {
        self.meta.pages.saturating_mul(self.meta.page_size.into())
    }

    /// The names of all buckets, in order.
    pub fn buckets(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut names = Vec::new();
        let mut root = self.walk(self.meta.root);
        while let Some(entry) = root.next_any()? {
            names.push(entry.key.to_vec());
        }
        Ok(names)
    }

    /// The entries of a bucket, in order; none where there is no such bucket.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Entries<'_, S>>, Error> {
        let mut root = self.walk(self.meta.root);
        while let Some(entry) = root.next_any()? {
            if entry.key != name {
                continue;
            }
            let damaged = |reason| Error::Damaged { page: self.meta.root, reason };
            if entry.flags & BUCKET == 0 {
                return Err(damaged("it holds an entry that is no bucket"));
            }
            let at = u64_at(entry.value, 0).ok_or_else(|| damaged("it holds a bucket without a header"))?;
            if at != 0 {
                return Ok(Some(self.walk(at)));
            }
            let inline = entry.value.get(BUCKET_HEADER_LEN..).unwrap_or_default().to_vec();
            return self.inline(inline).map(Some);
        }
        Ok(None)
    }

    fn walk(&self, root: u64) -> Entries<'_, S> {
        Entries { db: self, to_read: Some(root), stack: Vec::new(), pages_left: self.meta.pages, last: None }
    }

    /// The entries of a page that lies in its bucket's entry.
    fn inline(&self, bytes: Vec<u8>) -> Result<Entries<'_, S>, Error> {
        let damaged = |reason| Error::Damaged { page: self.meta.root, reason };
        let header = PageHeader::decode(&bytes).ok_or_else(|| damaged("it holds half of a bucket"))?;
        if header.flags != LEAF {
            return Err(damaged("it holds a bucket with a page of an unknown kind"));
        }
        let page = Page { id: self.meta.root, leaf: true, count: header.count.into(), bytes, next: 0 };
        let stack = vec![page.checked()?];
        Ok(Entries { db: self, to_read: None, stack, pages_left: 0, last: None })
    }

    /// Reads a page with the pages that belong to it; gives how many those are.
    fn page(&self, id: u64, pages_max: u64) -> Result<(Page, u64), Error> {
        let damaged = |reason| Error::Damaged { page: id, reason };
        if id < 2 || id >= self.meta.pages {
            return Err(damaged("it is not a page of the database"));
        }
        let page_size = u64::from(self.meta.page_size);
        let mut header = [0; PAGE_HEADER_LEN];
        let offset = id.checked_mul(page_size).ok_or_else(|| damaged("its place is too far out"))?;
        self.fill(offset, &mut header, id)?;
        let header = PageHeader::decode(&header).ok_or_else(|| damaged("it has no header"))?;
        if header.id != id {
            return Err(damaged("it has the number of another page"));
        }
        let leaf = match header.flags {
            LEAF => true,
            BRANCH => false,
            _ => return Err(damaged("it is neither leaf nor branch")),
        };
        let pages = u64::from(header.overflow) + 1;
        if pages > pages_max || id + pages > self.meta.pages {
            return Err(damaged("it goes on for too long"));
        }
        let len = pages * page_size;
        if offset + len > self.size {
            return Err(damaged("the file ends before it"));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(offset, &mut bytes, id)?;
        let page = Page { id, leaf, count: header.count.into(), bytes, next: 0 };
        Ok((page.checked()?, pages))
    }

    fn fill(&self, offset: u64, buffer: &mut [u8], page: u64) -> Result<(), Error> {
        match self.source.read_at(offset, buffer)? {
            len if len == buffer.len() => Ok(()),
            _ => Err(Error::Damaged { page, reason: "the file ends before it" }),
        }
    }
}

/// The valid meta with the higher transaction.
fn newest_meta(source: &impl Source) -> io::Result<Option<Meta>> {
    let mut metas = Vec::new();
    if let Some(first) = meta_at(source, 0, 0)? {
        let size = u64::from(first.page_size);
        metas.push(first);
        metas.extend(meta_at(source, size, 1)?);
    } else {
        // Without the first one, nobody knows where the second is.
        for size in page_sizes() {
            metas.extend(meta_at(source, size as u64, 1)?.filter(|meta| meta.page_size as usize == size));
        }
    }
    Ok(metas.into_iter().max_by_key(|meta| meta.txid))
}

fn meta_at(source: &impl Source, offset: u64, id: u64) -> io::Result<Option<Meta>> {
    let mut bytes = [0; PAGE_HEADER_LEN + META_LEN];
    if source.read_at(offset, &mut bytes)? < bytes.len() {
        return Ok(None);
    }
    let is_meta = PageHeader::decode(&bytes).is_some_and(|header| header.id == id && header.flags & META != 0);
    let meta = Meta::decode(&bytes[PAGE_HEADER_LEN..]);
    Ok(meta.filter(|meta| is_meta && page_sizes().any(|size| size == meta.page_size as usize)))
}

struct Page {
    id: u64,
    leaf: bool,
    count: usize,
    bytes: Vec<u8>,
    /// The element that comes next.
    next: usize,
}

/// An entry of a leaf.
struct Entry<'a> {
    flags: u32,
    key: &'a [u8],
    value: &'a [u8],
}

impl Page {
    fn checked(self) -> Result<Self, Error> {
        if PAGE_HEADER_LEN + self.count * ELEMENT_LEN > self.bytes.len() {
            return Err(self.damaged("it holds fewer elements than it says"));
        }
        if !self.leaf && self.count == 0 {
            return Err(self.damaged("it is a branch without elements"));
        }
        Ok(self)
    }

    fn damaged(&self, reason: &'static str) -> Error {
        Error::Damaged { page: self.id, reason }
    }

    fn at(&self, element: usize) -> usize {
        PAGE_HEADER_LEN + element * ELEMENT_LEN
    }

    fn child(&self, element: usize) -> Option<u64> {
        u64_at(&self.bytes, self.at(element) + 8)
    }

    fn entry(&self, element: usize) -> Option<Entry<'_>> {
        let at = self.at(element);
        let place = at.checked_add(u32_at(&self.bytes, at + 4)? as usize)?;
        let key_end = place.checked_add(u32_at(&self.bytes, at + 8)? as usize)?;
        let value_end = key_end.checked_add(u32_at(&self.bytes, at + 12)? as usize)?;
        Some(Entry {
            flags: u32_at(&self.bytes, at)?,
            key: self.bytes.get(place..key_end)?,
            value: self.bytes.get(key_end..value_end)?,
        })
    }
}

/// A key and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Entries of one tree, in order.
pub struct Entries<'a, S> {
    db: &'a Db<S>,
    /// A page to go down into.
    to_read: Option<u64>,
    stack: Vec<Page>,
    /// Pages that the walk may still read: a tree has no page twice.
    pages_left: u64,
    last: Option<Vec<u8>>,
}

impl<S: Source> Entries<'_, S> {
    /// The next key and its value; none at the end.
    pub fn next_entry(&mut self) -> Result<Option<Pair<'_>>, Error> {
        let page = self.db.meta.root;
        match self.next_any()? {
            Some(entry) if entry.flags & BUCKET != 0 => {
                Err(Error::Damaged { page, reason: "a bucket holds another, which etcd's never do" })
            }
            Some(entry) => Ok(Some((entry.key, entry.value))),
            None => Ok(None),
        }
    }

    fn next_any(&mut self) -> Result<Option<Entry<'_>>, Error> {
        loop {
            if let Some(id) = self.to_read.take() {
                let (page, pages) = self.db.page(id, self.pages_left)?;
                self.pages_left -= pages;
                if self.stack.len() == DEPTH_MAX {
                    return Err(page.damaged("its tree is too deep"));
                }
                self.stack.push(page);
            }
            let Some(page) = self.stack.last_mut() else { return Ok(None) };
            if page.next == page.count {
                self.stack.pop();
                continue;
            }
            page.next += 1;
            if page.leaf {
                break;
            }
            let child = page.child(page.next - 1);
            self.to_read = Some(child.ok_or_else(|| page.damaged("an element has no page"))?);
        }
        let Some(page) = self.stack.last() else { return Ok(None) };
        let entry = page.entry(page.next - 1).ok_or_else(|| page.damaged("an entry lies outside of it"))?;
        if self.last.as_ref().is_some_and(|last| last.as_slice() >= entry.key) {
            return Err(page.damaged("its keys are not in order"));
        }
        match &mut self.last {
            Some(last) => {
                last.clear();
                last.extend_from_slice(entry.key);
            }
            None => self.last = Some(entry.key.to_vec()),
        }
        Ok(Some(entry))
    }
}

#[cfg(test)]
pub(crate) mod tests;
