//! Output without what differs between any two servers. Pure.

use regex::{Captures, Regex};

/// What is a server's own, each with the name that stands for it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pairs: Vec<(String, String)>,
}

impl Names {
    pub fn add(&mut self, text: &str, name: &str) {
        self.pairs.push((text.to_owned(), name.to_owned()));
    }

    /// An id, which etcdctl prints in hex or in decimal.
    pub fn add_id(&mut self, id: u64, name: &str) {
        self.add(&format!("{id:016x}"), name);
        self.add(&format!("{id:x}"), name);
        self.add(&id.to_string(), name);
        self.add(&(id as i64).to_string(), name);
    }

    fn put(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// Patterns of what is never the same, and what stands for it.
const VOLATILE: &[(&str, &str)] = &[
    (r#"("?(?:[Rr]aft_?[Tt]erm|[Rr]aft(?:Applied)?Index|[dD][bB]Size(?:InUse)?)"? ?: ?)[0-9]+"#, "${1}N"),
    (r#"("?[Vv]ersion"? ?: ?)"3\.[0-9.]+""#, "${1}V"),
    // An id is padded to sixteen places: one of fewer digits has spaces before it.
    (r" +(\$[A-Z])", " ${1}"),
    (r"took = [^ \n]+", "took = T"),
    (r#""took":"[^"]*""#, r#""took":"T""#),
    (r#""Took" : [^ \n]+"#, r#""Took" : T"#),
    (r"remaining\([0-9]+s\)", "remaining(N)"),
    (r#"("ttl":|"TTL" : )[0-9]{3,}"#, "${1}N"),
];
/// Columns of tables whose values are never the same.
const COLUMNS: &[&str] =
    &["VERSION", "DB SIZE", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "TOOK", "TOTAL KEYS", "TOTAL SIZE"];

pub struct Normal {
    volatile: Vec<(Regex, &'static str)>,
    /// `endpoint status` and `snapshot status` on one line.
    status: Regex,
    snapshot: Regex,
}

impl Normal {
    pub fn new() -> Result<Self, regex::Error> {
        let volatile = VOLATILE.iter().map(|(pattern, with)| Ok((Regex::new(pattern)?, *with)));
        Ok(Self {
            volatile: volatile.collect::<Result<_, regex::Error>>()?,
            status: Regex::new(r"(?m)^([^ ]+, [^ ]+, )3\.[0-9.]+, [^,]+, ([a-z]+, [a-z]+, )[0-9]+, [0-9]+, [0-9]+,")?,
            snapshot: Regex::new(r"(?m)^[0-9a-f]{1,8}, ([0-9]+), [0-9]+, [0-9.]+ [kMG]?B$")?,
        })
    }

    pub fn text(&self, text: &str, names: &Names) -> String {
        let mut text = names.put(text);
        for (pattern, with) in &self.volatile {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        text = self
            .status
            .replace_all(&text, |found: &Captures<'_>| format!("{}V, N, {}N, N, N,", &found[1], &found[2]))
            .into();
        text = self.snapshot.replace_all(&text, "H, $1, N, N").into_owned();
        members(&tables(&text))
    }
}

/// Members come in the order of their ids: lines of a list by what they say, names of a cluster by name.
fn members(text: &str) -> String {
    let member = |line: &&str| line.contains(", started, ") || line.contains(", unstarted, ");
    let (mut listed, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(member);
    listed.sort_unstable();
    let cluster =
        |line: &str| match line.strip_prefix("ETCD_INITIAL_CLUSTER=\"").and_then(|rest| rest.strip_suffix('"')) {
            Some(names) => {
                let mut names: Vec<&str> = names.split(',').collect();
                names.sort_unstable();
                format!("ETCD_INITIAL_CLUSTER=\"{}\"\n", names.join(","))
            }
            None => format!("{line}\n"),
        };
    listed.into_iter().chain(rest).map(cluster).collect()
}

/// Tables without their lines and widths, and without volatile columns.
fn tables(text: &str) -> String {
    let mut header: Vec<String> = Vec::new();
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("+-") {
            continue;
        }
        let Some(row) = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
            header.clear();
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        let volatile = |at: usize| header.get(at).is_some_and(|name| COLUMNS.contains(&name.as_str()));
        // A snapshot's hash is of ids, too; that of keys is not.
        let snapshot = |at: usize| {
            header.get(at).is_some_and(|name| name == "HASH") && header.iter().any(|name| name == "TOTAL KEYS")
        };
        let shown =
            |(at, cell): (usize, &String)| if volatile(at) || snapshot(at) { "N".to_owned() } else { cell.clone() };
        out.push_str(&cells.iter().enumerate().map(shown).collect::<Vec<_>>().join(" | "));
        out.push('\n');
        if header.is_empty() {
            header = cells;
        }
    }
    out
}

/// A message that etcdctl writes as protobuf: of its header the revision, of the rest the bytes.
pub fn message(mut bytes: &[u8]) -> String {
    let mut out = String::new();
    while !bytes.is_empty() {
        let Some((tag, rest)) = varint(bytes) else { return format!("{out} damaged {bytes:02x?}") };
        let (number, kind) = (tag >> 3, tag & 7);
        let value = match kind {
            0 => varint(rest).map(|(value, rest)| (value.to_string(), rest)),
            2 => varint(rest).and_then(|(len, rest)| {
                let (inner, rest) = rest.split_at_checked(len as usize)?;
                // Every answer's header is its first field.
                let shown =
                    if number == 1 { format!("revision {}", revision(inner)?) } else { format!("{inner:02x?}") };
                Some((shown, rest))
            }),
            _ => None,
        };
        let Some((value, rest)) = value else { return format!("{out} damaged {bytes:02x?}") };
        out.push_str(&format!("{number}: {value}\n"));
        bytes = rest;
    }
    out
}

fn revision(mut header: &[u8]) -> Option<u64> {
    let mut revision = 0;
    while !header.is_empty() {
        let (tag, rest) = varint(header)?;
        let (value, rest) = varint(rest)?;
        if tag >> 3 == 3 {
            revision = value;
        }
        header = rest;
    }
    Some(revision)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at).min(63);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// What a command says beside its answer: its errors, without etcdctl's own log, and without where in it it gave up.
pub fn errors(text: &str) -> String {
    let own = |line: &&str| !line.starts_with('{') && !line.starts_with("20");
    let traced = |line: &&str| !line.starts_with("goroutine ");
    text.lines().take_while(traced).filter(own).map(|line| format!("! {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, expect: &str) {
        let normal = Normal::new().expect("patterns");
        let mut names = Names::default();
        names.add_id(0xcac8ede6d2ee915e, "$MEMBER");
        assert_eq!(normal.text(a, &names), expect);
        assert_eq!(normal.text(b, &names), expect);
    }

    #[test]
    fn what_differs_between_servers_is_taken_out() {
        check(
            r#"{"member_id":14612190566640685406,"revision":7,"raft_term":2,"dbSize":36864,"version":"3.5.1"}"#,
            r#"{"member_id":14612190566640685406,"revision":7,"raft_term":1,"dbSize":9,"version":"3.6.0"}"#,
            "{\"member_id\":$MEMBER,\"revision\":7,\"raft_term\":N,\"dbSize\":N,\"version\":V}\n",
        );
        check(
            "e, cac8ede6d2ee915e, 3.5.1, 37 kB, true, false, 2, 4, 4, ",
            "e, cac8ede6d2ee915e, 3.6.0, 1 B, true, false, 1, 9, 8, ",
            "e, $MEMBER, V, N, true, false, N, N, N, \n",
        );
        check("bf0efaef, 6, 14, 57 kB", "1, 6, 9, 2.3 MB", "H, 6, N, N\n");
    }

    #[test]
    fn an_id_of_fewer_digits_is_an_id() {
        let normal = Normal::new().expect("patterns");
        let mut names = Names::default();
        names.add_id(0x42f, "$MEMBER");
        assert_eq!(normal.text("Member              42f removed from it", &names), "Member $MEMBER removed from it\n");
    }

    #[test]
    fn tables_keep_their_cells() {
        check(
            "+----+-----+\n| ID | TOOK |\n+----+-----+\n|  x | 3ms  |\n+----+-----+\n",
            "+---+\n|   ID | TOOK |\n+---+\n| x | 12.5ms |\n+---+\n",
            "ID | TOOK\nx | N\n",
        );
        check("\"Version\" : 3\n", "\"Version\" : 3", "\"Version\" : 3\n");
    }

    #[test]
    fn of_a_message_s_header_only_the_revision_stays() {
        let one = [0x0a, 6, 8, 5, 16, 9, 24, 7, 0x20, 1];
        let other = [0x0a, 7, 8, 0x85, 1, 16, 9, 24, 7, 0x20, 1];
        assert_eq!(message(&one), "1: revision 7\n4: 1\n");
        assert_eq!(message(&one), message(&other));
        assert!(message(&[0x0a, 9, 1]).contains("damaged"));
    }
}
