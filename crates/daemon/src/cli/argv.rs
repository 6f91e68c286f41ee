//! The command line before clap sees it: Go's spellings, and unknown flags.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::{Error, suggest};

/// One flag as the scan needs it.
struct Known {
    long: String,
    /// The next argument is its value, where no `=` follows.
    takes_next: bool,
}

/// Turns `-flag` and `--some_flag` into `--some-flag` where such a flag exists; refuses flags that do not.
pub fn normalize(command: &Command, args: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    let mut known = Vec::new();
    collect(command, &mut known);
    let mut out = Vec::with_capacity(args.len());
    let mut args = args.into_iter();
    out.extend(args.next());
    while let Some(arg) = args.next() {
        let Some(text) = arg.to_str().map(str::to_owned) else {
            out.push(arg);
            continue;
        };
        if text == "--" {
            out.push(arg);
            out.extend(args);
            break;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text.as_str(), None),
        };
        let Some(flag) = find(&known, name) else {
            if let Some(wrong) = name.strip_prefix("--") {
                let nearest = suggest::nearest(wrong, known.iter().map(|flag| flag.long.as_str()));
                return Err(Error::UnknownFlag {
                    flag: name.to_owned(),
                    nearest: nearest.map(|near| format!("--{near}")),
                });
            }
            out.push(arg);
            continue;
        };
        match value {
            Some(value) => out.push(format!("--{}={value}", flag.long).into()),
            None => {
                out.push(format!("--{}", flag.long).into());
                if flag.takes_next {
                    out.extend(args.next());
                }
            }
        }
    }
    Ok(out)
}

fn collect(command: &Command, known: &mut Vec<Known>) {
    for builtin in ["help", "version"] {
        known.push(Known { long: builtin.to_owned(), takes_next: false });
    }
    for arg in command.get_arguments() {
        let takes_next = arg.get_action().takes_values() && !arg.is_require_equals_set();
        for long in longs(arg) {
            known.push(Known { long, takes_next });
        }
    }
    for sub in command.get_subcommands() {
        collect(sub, known);
    }
}

/// A flag's name and its aliases.
pub fn longs(arg: &Arg) -> Vec<String> {
    let mut longs: Vec<String> = arg.get_long().map(str::to_owned).into_iter().collect();
    longs.extend(arg.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned));
    longs
}

/// `--name`, `--na_me`, or Go's `-name` (only where it is longer than a letter, and a flag's whole name).
fn find<'a>(known: &'a [Known], name: &str) -> Option<&'a Known> {
    let bare = name.strip_prefix("--").or_else(|| name.strip_prefix('-').filter(|rest| rest.len() > 1))?;
    let bare = bare.replace('_', "-");
    known.iter().find(|flag| flag.long == bare)
}

/// The value given to the first of `names` found.
pub fn value(args: &[OsString], names: &[&str]) -> Option<String> {
    let mut args = args.iter().filter_map(|arg| arg.to_str()).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix("--") else { continue };
        match flag.split_once('=') {
            Some((name, value)) if names.contains(&name) => return Some(value.to_owned()),
            None if names.contains(&flag) => return args.next().map(str::to_owned),
            _ => {}
        }
    }
    None
}

/// Whether the command line itself sets a flag.
pub fn given(args: &[OsString], flag: &str) -> bool {
    args.iter().filter_map(|arg| arg.to_str()).take_while(|arg| *arg != "--").any(|arg| {
        let bare = arg.strip_prefix("--").unwrap_or_default();
        bare.split('=').next() == Some(flag)
    })
}
