//! Lines for whoever listens: `println!` and `eprintln!` would end the program by a panic where nobody does.

use std::io::Write;

/// Prints a line for whoever listens. Nobody may (`| head` has ended): that ends nothing and is no error.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(&mut ::std::io::stdout(), ::std::format_args!($($text)*)) };
}

/// Prints a line on standard error, for whoever listens.
#[macro_export]
macro_rules! complain {
    ($($text:tt)*) => { $crate::say::line(&mut ::std::io::stderr(), ::std::format_args!($($text)*)) };
}

/// Writes a line, in one piece; a reader that went away misses it.
pub fn line(to: &mut impl Write, text: std::fmt::Arguments<'_>) {
    let _nobody_listens = to.write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_ends_nothing() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        drop(reader);
        line(&mut writer, format_args!("one"));
        line(&mut writer, format_args!("two"));
    }
}
