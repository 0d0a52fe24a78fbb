//! The padding of everything that is sealed end to end: sizes say little. Source: `docs/protocol.md`, section 7.5.
//!
//! A content is followed by 0x80 and zeros, up to the next of 128, 256, 512, 1,024, 2,048 and 4,096 bytes, then to the
//! next multiple of 4,096.
//!
//! ```
//! use darkchat_proto::pad;
//! let padded = pad::pad(b"hi");
//! assert_eq!((padded.len(), &padded[..3]), (128, [b'h', b'i', 0x80].as_slice()));
//! assert_eq!(pad::unpad(&padded), Some(b"hi".as_slice()));
//! assert_eq!(pad::unpad(&padded[..127]), None);
//! ```

/// What ends the content.
const END: u8 = 0x80;
/// The smallest size, in bytes: most messages that people type look alike.
const SMALLEST: usize = 128;
/// From here on sizes are multiples of this, in bytes: powers of two would waste half of a large message.
const LARGE: usize = 4_096;

/// The size to which a content of `len` bytes is padded.
#[must_use]
pub const fn padded_len(len: usize) -> usize {
    let least = len.saturating_add(1);
    if least <= SMALLEST {
        SMALLEST
    } else if least <= LARGE {
        least.next_power_of_two()
    } else {
        least.saturating_add(LARGE - 1) / LARGE * LARGE
    }
}

/// The content with its padding.
#[must_use]
pub fn pad(content: &[u8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(padded_len(content.len()));
    padded.extend_from_slice(content);
    pad_in_place(&mut padded);
    padded
}

/// Pads what stands in `content`.
pub fn pad_in_place(content: &mut Vec<u8>) {
    let len = padded_len(content.len());
    content.push(END);
    content.resize(len, 0);
}

/// The content of a padded run, or `None` if this is not how [`pad`] would have padded it.
///
/// One content has one padding, so nothing can be said by choosing among several.
#[must_use]
pub fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    let (content, rest) = padded.split_at_checked(end)?;
    (rest.first() == Some(&END) && padded_len(end) == padded.len()).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_section_7_5() {
        let steps = [
            (0, 128),
            (127, 128),
            (128, 256),
            (255, 256),
            (256, 512),
            (4_095, 4_096),
            (4_096, 8_192),
            (8_191, 8_192),
            (8_192, 12_288),
            (60_000, 61_440),
            (61_439, 61_440),
            (61_440, 65_536),
        ];
        for (len, padded) in steps {
            assert_eq!(padded_len(len), padded, "{len}");
        }
        assert!(padded_len(usize::MAX) > usize::MAX - LARGE, "no length overflows");
    }

    #[test]
    fn d12_every_content_comes_back_and_no_prefix_or_extension_gives_the_same_or_a_longer_one() {
        for len in [0, 1, 126, 127, 128, 300, 4_095, 4_096, 9_000] {
            for fill in [0, END, 7] {
                let content = vec![fill; len];
                let padded = pad(&content);
                assert_eq!(unpad(&padded), Some(content.as_slice()));
                for cut in 0..padded.len() {
                    // A run of end marks, cut, is the padding of a shorter run.
                    let shorter = unpad(&padded[..cut]).is_none_or(|found| fill == END && found.len() < len);
                    assert!(shorter, "{cut} of {len} bytes of {fill}");
                }
                for more in [vec![0], vec![0; 128], vec![END], vec![0; LARGE]] {
                    assert_eq!(unpad(&[padded.as_slice(), &more].concat()), None, "{len} bytes of {fill}");
                }
            }
        }
        for odd in [&[0; 128][..], &[1; 128], &[]] {
            assert_eq!(unpad(odd), None, "no end mark");
        }
    }
}
