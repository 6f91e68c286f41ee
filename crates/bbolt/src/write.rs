//! A whole file in one pass: entries come sorted, pages leave in the order of their numbers.
//!
//! The metas stand first and name the root, which stands last; so the entries are told twice. A measuring [`Builder`] takes
//! lengths and gives the [`Layout`]; a writing one takes the same entries with their values and gives the pages. Neither
//! holds more than one page for each level of one tree, whatever the number of entries.

use crate::format::{BRANCH, BUCKET, ELEMENT_LEN, FREELIST, LEAF, META, Meta, PAGE_HEADER_LEN, PAGE_SIZE, PageHeader};

/// The first page after metas and free list.
const FIRST_PAGE: u64 = 3;
const FREELIST_PAGE: u64 = 2;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("entries must be told in order of their keys; {after:?} came after {before:?}")]
    Order { before: Vec<u8>, after: Vec<u8> },
    #[error("what was written is not what was measured: {measured:?}, then {written:?}")]
    Changed { measured: Layout, written: Layout },
    #[error("a value of {0} bytes is too long for this format")]
    TooLong(usize),
}

/// Where a file's root stands, and how long the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    root: u64,
    pages: u64,
}

impl Layout {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.pages * PAGE_SIZE as u64
    }
}

/// A value as the measuring or the writing builder needs it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Len(usize),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Len(len) => *len,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Takes entries, bucket after bucket, all in order; gives pages.
pub struct Builder {
    /// What was measured, while writing.
    measured: Option<Layout>,
    pages: Pages,
    /// The buckets that are done: name and root.
    buckets: Vec<(Vec<u8>, u64)>,
    tree: Tree,
}

/// Pages in the order of their numbers.
struct Pages {
    next: u64,
    /// Written pages that nobody took yet; none while measuring.
    out: Option<Vec<u8>>,
}

impl Builder {
    pub fn measuring() -> Self {
        Self::new(None, None)
    }

    /// Begins the file that `layout` describes.
    pub fn writing(layout: Layout) -> Self {
        let mut out = Vec::new();
        for txid in 0..2 {
            let header = PageHeader { id: txid, flags: META, count: 0, overflow: 0 };
            let meta = Meta {
                page_size: PAGE_SIZE as u32,
                root: layout.root,
                sequence: 0,
                freelist: FREELIST_PAGE,
                pages: layout.pages,
                txid,
            };
            page(&mut out, header, &[&meta.encode()]);
        }
        page(&mut out, PageHeader { id: FREELIST_PAGE, flags: FREELIST, count: 0, overflow: 0 }, &[]);
        Self::new(Some(layout), Some(out))
    }

    fn new(measured: Option<Layout>, out: Option<Vec<u8>>) -> Self {
        let pages = Pages { next: FIRST_PAGE, out };
        Self { measured, pages, buckets: Vec::new(), tree: Tree::default() }
    }

    /// An entry of the bucket that is being told.
    pub fn entry(&mut self, key: &[u8], value: Value<'_>) -> Result<(), Error> {
        self.tree.push(&mut self.pages, key, value, 0)
    }

    /// Ends the bucket whose entries were told. Buckets, too, come in order of their names.
    pub fn end_bucket(&mut self, name: &[u8]) -> Result<(), Error> {
        if let Some((before, _)) = self.buckets.last().filter(|(before, _)| before.as_slice() >= name) {
            return Err(Error::Order { before: before.clone(), after: name.to_vec() });
        }
        let root = std::mem::take(&mut self.tree).finish(&mut self.pages);
        self.buckets.push((name.to_vec(), root));
        Ok(())
    }

    /// Bytes of finished pages, to be written behind those taken before.
    pub fn take(&mut self) -> Vec<u8> {
        self.pages.out.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Bytes of finished pages that nobody took yet.
    pub fn waiting(&self) -> usize {
        self.pages.out.as_ref().map_or(0, Vec::len)
    }

    /// Writes the root; gives the layout, and the last bytes.
    pub fn finish(mut self) -> Result<(Layout, Vec<u8>), Error> {
        let mut root = Tree::default();
        for (name, at) in &self.buckets {
            let mut value = [0; 16];
            value[..8].copy_from_slice(&at.to_le_bytes());
            root.push(&mut self.pages, name, Value::Bytes(&value), BUCKET)?;
        }
        let root = root.finish(&mut self.pages);
        let layout = Layout { root, pages: self.pages.next };
        match self.measured.filter(|measured| *measured != layout) {
            Some(measured) => Err(Error::Changed { measured, written: layout }),
            None => Ok((layout, self.pages.out.unwrap_or_default())),
        }
    }
}

/// Appends a page of `parts`, and zeros up to its end.
fn page(out: &mut Vec<u8>, header: PageHeader, parts: &[&[u8]]) {
    let begin = out.len();
    out.extend_from_slice(&header.encode());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.resize(begin + (header.overflow as usize + 1) * PAGE_SIZE, 0);
}

/// One tree, from the leaves up: a page that is full goes out, and its first key into the level above.
#[derive(Default)]
struct Tree {
    levels: Vec<Node>,
    last: Vec<u8>,
}

/// A page that is being filled.
#[derive(Default)]
struct Node {
    /// Bytes of the page so far.
    bytes: usize,
    elements: Vec<Element>,
    count: usize,
    first: Vec<u8>,
    /// Keys and values, while writing.
    data: Vec<u8>,
}

struct Element {
    /// Flags of a leaf's element, page number of a branch's.
    word: u64,
    key_len: u32,
    value_len: u32,
}

impl Tree {
    fn push(&mut self, pages: &mut Pages, key: &[u8], value: Value<'_>, flags: u32) -> Result<(), Error> {
        if value.len() > i32::MAX as usize {
            return Err(Error::TooLong(value.len()));
        }
        if !self.levels.is_empty() && self.last.as_slice() >= key {
            return Err(Error::Order { before: self.last.clone(), after: key.to_vec() });
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.add(pages, 0, key, value, flags.into());
        Ok(())
    }

    /// Adds an element to a level; a page without room for it goes out first.
    fn add(&mut self, pages: &mut Pages, level: usize, key: &[u8], value: Value<'_>, word: u64) {
        if self.levels.len() == level {
            self.levels.push(Node::default());
        }
        let bytes = ELEMENT_LEN + key.len() + value.len();
        let node = &self.levels[level];
        if node.count > 0 && PAGE_HEADER_LEN + node.bytes + bytes > PAGE_SIZE {
            self.close(pages, level);
        }
        self.levels[level].add(key, value, word, bytes, pages.out.is_some());
    }

    /// Sends a level's page out and tells the level above.
    fn close(&mut self, pages: &mut Pages, level: usize) {
        let node = std::mem::take(&mut self.levels[level]);
        let id = pages.put(&node, level);
        self.add(pages, level + 1, &node.first, Value::Len(0), id);
    }

    /// Sends what is left out; gives the root's page.
    fn finish(mut self, pages: &mut Pages) -> u64 {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.close(pages, level);
            level += 1;
        }
        let root = self.levels.pop().unwrap_or_default();
        pages.put(&root, level)
    }
}

impl Node {
    fn add(&mut self, key: &[u8], value: Value<'_>, word: u64, bytes: usize, writing: bool) {
        if self.count == 0 {
            self.first = key.to_vec();
        }
        self.count += 1;
        self.bytes += bytes;
        if writing {
            self.elements.push(Element { word, key_len: key.len() as u32, value_len: value.len() as u32 });
            self.data.extend_from_slice(key);
            if let Value::Bytes(value) = value {
                self.data.extend_from_slice(value);
            }
        }
    }

    /// The elements' bytes; a place is counted from the beginning of its element.
    fn heads(&self, leaf: bool) -> Vec<u8> {
        let mut heads = Vec::with_capacity(self.elements.len() * ELEMENT_LEN);
        let mut data_at = self.elements.len() * ELEMENT_LEN;
        for element in &self.elements {
            let place = (data_at - heads.len()) as u32;
            if leaf {
                heads.extend_from_slice(&(element.word as u32).to_le_bytes());
                heads.extend_from_slice(&place.to_le_bytes());
                heads.extend_from_slice(&element.key_len.to_le_bytes());
                heads.extend_from_slice(&element.value_len.to_le_bytes());
            } else {
                heads.extend_from_slice(&place.to_le_bytes());
                heads.extend_from_slice(&element.key_len.to_le_bytes());
                heads.extend_from_slice(&element.word.to_le_bytes());
            }
            data_at += (element.key_len + element.value_len) as usize;
        }
        heads
    }
}

impl Pages {
    /// Puts a level's page in its place; gives its number.
    fn put(&mut self, node: &Node, level: usize) -> u64 {
        let id = self.next;
        let pages = (PAGE_HEADER_LEN + node.bytes).div_ceil(PAGE_SIZE);
        self.next += pages as u64;
        if let Some(out) = &mut self.out {
            let flags = if level == 0 { LEAF } else { BRANCH };
            let header = PageHeader { id, flags, count: node.count as u16, overflow: pages as u32 - 1 };
            page(out, header, &[&node.heads(level == 0), &node.data]);
        }
        id
    }
}
