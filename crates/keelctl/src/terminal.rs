//! The local terminal: raw mode, its size, colours, whether there is one.

use std::io::{IsTerminal, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Puts the terminal of standard input into raw mode until dropped.
pub struct Raw(Option<Termios>);

impl Raw {
    pub fn enter() -> std::io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before);
        }
    }
}

pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Columns and rows of the terminal.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdout()).or_else(|_| tcgetwinsize(rustix::stdio::stdin())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// May standard output be coloured?
pub fn colored() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Bold, where the terminal can.
pub fn bold(text: &str) -> String {
    if colored() { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Writes to standard output at once; a reader that went away is an error that ends the command.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a line for whoever listens. Nobody may (`| head` has ended): that ends nothing and is no error.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::terminal::line(&mut ::std::io::stdout(), ::std::format_args!($($text)*)) };
}

/// Prints a line on standard error, for whoever listens.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => { $crate::terminal::line(&mut ::std::io::stderr(), ::std::format_args!($($text)*)) };
}

/// Writes a line, in one piece; a reader that went away misses it.
pub fn line(to: &mut impl Write, text: std::fmt::Arguments<'_>) {
    let _nobody_listens = to.write_all(format!("{text}\n").as_bytes());
}
