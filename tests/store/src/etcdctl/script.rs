//! Scripts of commands: one a line, what it reads below it. Pure.
//!
//! ```text
//! # a comment
//! put a 1
//! 3.5: get --count-only a         only with etcdctl 3.5
//! * get a                         in every output format
//! + member list                   in every format but protobuf, which has ids in it
//! txn                             what it reads:
//! > mod("a") > "0"
//! >
//! lease grant 100 => L1           the id in its output is $L1 from here on
//! start W watch k                 runs beside, until `stop`
//! lines W 3                       waits until it has printed three lines; `=> NAME` as above
//! stop W                          ends it with SIGINT
//! next                            $NEXT is the revision that the next write makes, from here on
//! ```
//!
//! Words in single quotes may have blanks. `$ENDPOINT`, `$PEER`, `$MEMBER` and `$DIR` are the server's own.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

/// Every form that --write-out takes: the first is what etcdctl does without being asked, the last is not text.
pub const FORMATS: &[&str] = &["simple", "fields", "json", "table", "protobuf"];

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Run(Command),
    Start(String, Command),
    Lines {
        name: String,
        count: usize,
        keep: Option<String>,
    },
    Stop(String),
    /// Notes the revision that comes next.
    Next,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    /// Of the file, for messages.
    pub line: usize,
    pub words: Vec<String>,
    pub input: String,
    /// The name that the id in its output gets.
    pub keep: Option<String>,
}

/// The steps for an etcdctl of `release` ("3.4", "3.5").
pub fn read(text: &str, release: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let place = || format!("line {}: {line}", at + 1);
        if let Some(input) = line.strip_prefix('>') {
            let input = input.strip_prefix(' ').unwrap_or(input);
            give(&mut steps, input).with_context(place)?;
            continue;
        }
        let Some(line) = for_release(line.trim(), release) else { continue };
        steps.extend(step(line, at + 1).with_context(place)?);
    }
    Ok(steps)
}

/// The line without the release that it is for; none for a comment or another release.
fn for_release<'a>(line: &'a str, release: &str) -> Option<&'a str> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    match line.split_once(": ") {
        Some((wanted, rest)) if wanted.starts_with("3.") => (wanted == release).then_some(rest),
        _ => Some(line),
    }
}

fn step(line: &str, at: usize) -> Result<Vec<Step>> {
    let mut words = split(line)?;
    let mut keep = None;
    if words.len() > 2 && words[words.len() - 2] == "=>" {
        keep = words.pop();
        words.pop();
    }
    let command = |words: &[String]| Command { line: at, words: words.to_vec(), ..Default::default() };
    Ok(match words[0].as_str() {
        "*" => with_formats(&command(&words[1..]), FORMATS),
        "+" => with_formats(&command(&words[1..]), &FORMATS[..FORMATS.len() - 1]),
        "start" => vec![Step::Start(words.get(1).context("a name")?.clone(), command(&words[2..]))],
        "next" => vec![Step::Next],
        "stop" => vec![Step::Stop(words.get(1).context("a name")?.clone())],
        "lines" => {
            let count = words.get(2).context("a count")?.parse()?;
            vec![Step::Lines { name: words[1].clone(), count, keep }]
        }
        _ => vec![Step::Run(Command { keep, ..command(&words) })],
    })
}

fn with_formats(command: &Command, formats: &[&str]) -> Vec<Step> {
    let with = |format: &&str| {
        let mut command = command.clone();
        if *format != FORMATS[0] {
            command.words.extend(["-w".to_owned(), (*format).to_owned()]);
        }
        Step::Run(command)
    };
    formats.iter().map(with).collect()
}

/// Adds a line to what the last command reads, in each of its forms.
fn give(steps: &mut [Step], input: &str) -> Result<()> {
    let line = match steps.last().context("a command that reads it")? {
        Step::Run(command) | Step::Start(_, command) => command.line,
        other => bail!("{other:?} reads nothing"),
    };
    for step in steps.iter_mut().rev() {
        match step {
            Step::Run(command) | Step::Start(_, command) if command.line == line => {
                command.input.push_str(input);
                command.input.push('\n');
            }
            _ => break,
        }
    }
    Ok(())
}

fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    ensure!(!quoted, "a quote that does not end");
    words.extend(word);
    ensure!(!words.is_empty(), "no words");
    Ok(words)
}

/// The commands that `etcdctl --help` lists.
pub fn listed(help: &str) -> Result<BTreeSet<String>> {
    let (_, commands) = help.split_once("COMMANDS:").context("a list of commands in etcdctl's help")?;
    let (commands, _) = commands.split_once("OPTIONS:").context("options after the commands in etcdctl's help")?;
    let names = commands.lines().filter_map(|line| Some(line.strip_prefix('\t')?.split_once('\t')?.0.to_owned()));
    Ok(names.collect())
}

/// Which of the listed commands a command is: the longest name that its words, flags aside, begin with.
pub fn name_of<'a>(words: &[String], listed: &'a BTreeSet<String>) -> Option<&'a String> {
    let plain: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| word.starts_with('-')).collect();
    (1..=2).rev().find_map(|count| listed.get(&plain.get(..count)?.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_for_one_release() {
        let text = "# none\nput a 'b c'\n3.4: get a\n3.5: get b\nlease grant 9 => L\n* txn\n> one\n>\nstart W watch x\nlines W 2\nstop W\n";
        let steps = read(text, "3.5").expect("a script");
        assert_eq!(steps.len(), 3 + FORMATS.len() + 3);
        let Step::Run(put) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!(put.words, ["put", "a", "b c"]);
        let Step::Run(grant) = &steps[2] else { panic!("{steps:?}") };
        assert_eq!((grant.words.len(), grant.keep.as_deref()), (3, Some("L")));
        let Step::Run(txn) = &steps[7] else { panic!("{steps:?}") };
        assert_eq!((txn.words[2].as_str(), txn.input.as_str()), ("protobuf", "one\n\n"));
        assert!(read("> to nobody", "3.5").is_err());
        assert!(read("put 'a", "3.5").is_err());
    }

    #[test]
    fn commands_are_known_by_their_names() {
        let help = "COMMANDS:\n\talarm list\t\tLists\n\tget\t\t\tGets\n\tlease grant\tGrants\n\nOPTIONS:\n";
        let listed = listed(help).expect("a list");
        let name = |line: &str| name_of(&split(line).expect("words"), &listed).cloned();
        assert_eq!(name("--user=a get x").as_deref(), Some("get"));
        assert_eq!(name("lease grant 5").as_deref(), Some("lease grant"));
        assert_eq!(name("lease"), None);
    }
}
