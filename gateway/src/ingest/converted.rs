//! The body of a batch in which integers became floats.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Leaves letters out of a text, and moves the ranges of its refused lines to where these stand then. Both are in the
/// order of the text; no letter stands in a refused line.
pub(super) fn without(
    text: &[u8],
    letters: &[u32],
    mut refused: Vec<Range<u32>>,
) -> (Bytes, Vec<Range<u32>>) {
    let mut body = BytesMut::with_capacity(text.len());
    let mut from = 0;
    for letter in letters {
        body.extend_from_slice(&text[from..*letter as usize]);
        from = *letter as usize + 1;
    }
    body.extend_from_slice(&text[from..]);
    let mut before = 0;
    for range in &mut refused {
        before += letters[before..].partition_point(|letter| *letter < range.start);
        *range = range.start - before as u32..range.end - before as u32;
    }
    (body.freeze(), refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_and_ranges_move_along() {
        let text = b"m f=1i\nbad\nm f=2i,g=3u\nworse\n";
        let letters = [5, 16, 21];
        let refused = vec![7..10, 23..28];
        let (body, refused) = without(text, &letters, refused);
        assert_eq!(&body[..], b"m f=1\nbad\nm f=2,g=3\nworse\n");
        let lines: Vec<_> = refused
            .iter()
            .map(|range| &body[range.start as usize..range.end as usize])
            .collect();
        assert_eq!(lines, [&b"bad"[..], b"worse"]);
    }
}
