//! Text from others, made safe for a terminal: nothing in it moves the cursor, hides or reorders the rest of a line.

use darkchat_proto::{UserId, is_invisible};
use std::fmt::Write as _;

/// Opens and closes a run whose direction cannot leak out of it.
const ISOLATE: (char, char) = ('\u{2068}', '\u{2069}');

/// Text as it is shown: control, direction and zero-width characters become visible symbols.
///
/// A line feed shows as `\n`, a tab as one space, other controls as `\x1b`, and what changes direction or takes no
/// room as `\u{202e}`. Text with right-to-left letters is isolated. The joiners U+200C and U+200D stay.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut out, character);
    }
    if text.chars().any(is_right_to_left) { format!("{}{out}{}", ISOLATE.0, ISOLATE.1) } else { out }
}

fn push(out: &mut String, character: char) {
    // Writing to a String cannot fail.
    match character {
        '\n' => out.push_str("\\n"),
        '\t' => out.push(' '),
        c if c.is_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
        c if is_hidden(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
        c => out.push(c),
    }
}

/// What takes no room, separates lines, or changes direction.
const fn is_hidden(character: char) -> bool {
    is_invisible(character) || matches!(character, '\u{2028}' | '\u{2029}' | '\u{E0000}'..='\u{E007F}')
}

/// Letters of the scripts that are written from right to left: Hebrew to Arabic Extended, their presentation forms,
/// and the right-to-left blocks of the supplementary planes. Source: Unicode, `DerivedBidiClass.txt`, defaults R and AL.
const fn is_right_to_left(character: char) -> bool {
    matches!(character,
        '\u{0590}'..='\u{08FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFE}'
        | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
}

/// `NAME~MARK`; the mark is always the last eight characters, so a name containing `~` deceives nobody. A colon before
/// white space shows as `\x3a`: a name must not look like a contact, who has no mark, and the beginning of a text.
pub(crate) fn name(name: &str, user: &UserId) -> String {
    let mut shown = String::with_capacity(name.len());
    let mut rest = name.chars().peekable();
    while let Some(character) = rest.next() {
        let ends = character == ':' && rest.peek().is_some_and(|next| next.is_whitespace());
        if ends {
            shown.push_str("\\x3a");
        } else {
            shown.push(character);
        }
    }
    format!("{}~{}", text(&shown), user.mark())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_name_cannot_end_like_a_contacts() {
        let user = UserId::new([1; 32]);
        let shown = |claim| name(claim, &user).replace(&user.mark(), "MARK");
        assert_eq!(shown("ann: send it here "), "ann\\x3a send it here ~MARK");
        assert_eq!(shown("bot:ci:"), "bot:ci:~MARK");
    }

    #[test]
    fn controls_show_as_symbols() {
        assert_eq!(text("a\nb\tc\r\x1b[2J\x07\u{7f}\u{9b}"), "a\\nb c\\x0d\\x1b[2J\\x07\\x7f\\x9b");
        assert_eq!(text("x\u{202e}y\u{200b}z\u{e0041}\u{2028}"), "x\\u{202e}y\\u{200b}z\\u{e0041}\\u{2028}");
    }

    #[test]
    fn ordinary_text_stays_and_joiners_too() {
        assert_eq!(text("größe 👩\u{200d}💻"), "größe 👩\u{200d}💻");
    }

    #[test]
    fn right_to_left_text_is_isolated_so_that_it_cannot_reorder_the_line() {
        assert_eq!(text("שלום"), "\u{2068}שלום\u{2069}");
        let user = UserId::new([1; 32]);
        let shown = name("\u{5d0}", &user);
        assert!(shown.ends_with(&format!("\u{2069}~{}", user.mark())));
    }

    #[test]
    fn nothing_cleaned_holds_a_control_or_direction_character_of_the_author() {
        for code in 0..=0x10_FFFF {
            let Some(character) = char::from_u32(code) else { continue };
            let shown = text(&character.to_string());
            let inner = shown.trim_start_matches(ISOLATE.0).trim_end_matches(ISOLATE.1);
            assert!(inner.chars().all(|c| !c.is_control() && !is_hidden(c)), "{code:x}: {shown:?}");
        }
    }
}
