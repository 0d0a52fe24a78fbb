//! Text that a stranger may have had a hand in, made fit for a log: one line, bounded, nothing invisible.

use darkchat_proto::is_invisible;
use std::fmt::{self, Display, Write};

/// Characters that are shown; the rest is cut off.
const MAX_CHARS: usize = 128;

/// Shows its content with control and invisible characters escaped, and cut off after [`MAX_CHARS`] characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Clip { to: f, left: MAX_CHARS }, "{}", self.0)
    }
}

struct Clip<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl Write for Clip<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match self.left {
                0 => return Ok(()),
                1 => self.to.write_char('…')?,
                _ if character.is_control() || is_invisible(character) => {
                    write!(self.to, "{}", character.escape_unicode())?;
                }
                _ => self.to.write_char(character)?,
            }
            self.left -= 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_one_bounded_line_without_anything_invisible() {
        assert_eq!(Shown("plain text").to_string(), "plain text");
        assert_eq!(Shown("a\nb\u{1b}[31m\u{202e}").to_string(), "a\\u{a}b\\u{1b}[31m\\u{202e}");
        let long = Shown("x".repeat(10_000)).to_string();
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_CHARS, true));
    }
}
