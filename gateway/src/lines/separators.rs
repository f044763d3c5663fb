//! Where a text's separators stand, found 64 bytes at a time.
//!
//! Every byte is compared once, sixteen at a time, and becomes two bits: whether it may separate something, and whether
//! it is no digit. Whoever reads the text then walks from separator to separator and never looks at what lies between.

use wide::u8x16;

/// How many bytes are compared at once; one bit of a `u64` each.
const BLOCK_BYTES: usize = 64;
/// Everything up to here separates: blanks, control characters and the quote (and `!`, which no one minds).
const SEPARATOR_MOST: u8 = b'"';

/// Walks over the bytes that may separate something: those up to `"`, and `,`, `=`, `\`.
///
/// The text is read as if a newline stood behind its end.
pub(super) struct Separators<'a> {
    text: &'a [u8],
    /// Where the block in hand begins; a multiple of its size.
    block: usize,
    /// The separators of the block that are still ahead.
    ahead: u64,
    /// What is no digit, in the block before (low half) and the block in hand (high half).
    non_digits: u128,
    /// A block since [`Self::take_non_ascii`] holds a byte beyond ASCII.
    non_ascii: bool,
    block_is_ascii: bool,
}

/// One block's bits.
struct Bits {
    separators: u64,
    non_digits: u64,
    is_ascii: bool,
}

impl<'a> Separators<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut separators = Self {
            text,
            block: 0,
            ahead: 0,
            non_digits: 0,
            non_ascii: false,
            block_is_ascii: true,
        };
        separators.load(0);
        separators
    }

    /// Says whether a byte may separate something.
    pub(super) fn is_one(byte: u8) -> bool {
        byte <= SEPARATOR_MOST || matches!(byte, b',' | b'=' | b'\\')
    }

    /// Passes on to the next separator; at the text's end, and behind it, that is the text's length.
    #[inline]
    pub(super) fn next(&mut self) -> usize {
        while self.ahead == 0 {
            if self.block > self.text.len() {
                return self.text.len();
            }
            self.load(self.block + BLOCK_BYTES);
        }
        let found = self.block + self.ahead.trailing_zeros() as usize;
        self.ahead &= self.ahead - 1;
        found.min(self.text.len())
    }

    /// Goes back, so that the next separator is the first one at or after `at`.
    pub(super) fn rewind(&mut self, at: usize) {
        let block = at - at % BLOCK_BYTES;
        self.load(block.saturating_sub(BLOCK_BYTES));
        if block > 0 {
            self.load(block);
        }
        self.ahead &= u64::MAX << (at - block);
    }

    /// The bytes of `start..end` that are no digits, one bit each from the lowest; `None` where the range is longer than
    /// a word or begins too far behind.
    #[inline]
    pub(super) fn non_digits(&self, start: usize, end: usize) -> Option<u64> {
        let length = end - start;
        // The window begins one block before the block in hand.
        let offset = (start + BLOCK_BYTES).checked_sub(self.block)?;
        if length >= BLOCK_BYTES || offset + length > 2 * BLOCK_BYTES {
            return None;
        }
        Some((self.non_digits >> offset) as u64 & ((1 << length) - 1))
    }

    /// Says whether a byte beyond ASCII may have stood between the last call and the separator in hand.
    #[inline]
    pub(super) fn take_non_ascii(&mut self) -> bool {
        std::mem::replace(&mut self.non_ascii, !self.block_is_ascii)
    }

    #[inline]
    fn load(&mut self, block: usize) {
        let rest = self.text.get(block..).unwrap_or_default();
        let bits = if let Some(bytes) = rest.first_chunk::<BLOCK_BYTES>() {
            classify(bytes)
        } else {
            let mut padded = [b'\n'; BLOCK_BYTES];
            padded[..rest.len()].copy_from_slice(rest);
            classify(&padded)
        };
        self.block = block;
        self.ahead = bits.separators;
        self.non_digits =
            self.non_digits >> BLOCK_BYTES | u128::from(bits.non_digits) << BLOCK_BYTES;
        self.block_is_ascii = bits.is_ascii;
        self.non_ascii |= !bits.is_ascii;
    }
}

#[inline]
fn classify(bytes: &[u8; BLOCK_BYTES]) -> Bits {
    let mut bits = Bits {
        separators: 0,
        non_digits: 0,
        is_ascii: true,
    };
    let mut all = u8x16::ZERO;
    for (index, lane) in bytes.as_chunks::<16>().0.iter().enumerate() {
        let lane = u8x16::new(*lane);
        let separators = lane.simd_le(u8x16::splat(SEPARATOR_MOST))
            | lane.simd_eq(u8x16::splat(b','))
            | lane.simd_eq(u8x16::splat(b'='))
            | lane.simd_eq(u8x16::splat(b'\\'));
        let digits = (lane - u8x16::splat(b'0')).simd_le(u8x16::splat(9));
        bits.separators |= u64::from(separators.to_bitmask()) << (16 * index);
        bits.non_digits |= u64::from(!digits.to_bitmask() & 0xffff) << (16 * index);
        all |= lane;
    }
    bits.is_ascii = all.to_array().iter().all(u8::is_ascii);
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_separator_is_found_and_nothing_else(text in prop::collection::vec(any::<u8>(), 0..300), from in 0..300_usize) {
            let expected = |from: usize| -> Vec<usize> {
                let in_text = (from..text.len()).filter(|at| Separators::is_one(text[*at]));
                in_text.chain([text.len()]).collect()
            };
            let walk = |separators: &mut Separators<'_>| -> Vec<usize> {
                let mut found = vec![separators.next()];
                while found.last() != Some(&text.len()) {
                    found.push(separators.next());
                }
                found
            };
            let mut separators = Separators::new(&text);
            prop_assert_eq!(walk(&mut separators), expected(0));
            let from = from.min(text.len());
            separators.rewind(from);
            prop_assert_eq!(walk(&mut separators), expected(from));
        }

        #[test]
        fn what_is_no_digit_is_known_at_the_separator_behind_it(text in "[0-9.eiu\u{e4}-]{0,80},[0-9.eiu-]{0,80}") {
            let mut separators = Separators::new(text.as_bytes());
            let comma = separators.next();
            for (start, end) in [(0, comma), (comma + 1, text.len())] {
                if start > 0 {
                    prop_assert_eq!(separators.next(), end);
                }
                let expected = text.as_bytes()[start..end].iter().rev().fold(0_u128, |bits, byte| {
                    bits << 1 | u128::from(!byte.is_ascii_digit())
                });
                if let Some(bits) = separators.non_digits(start, end) {
                    prop_assert_eq!(u128::from(bits), expected);
                } else {
                    prop_assert!(end - start >= BLOCK_BYTES);
                }
            }
            prop_assert_eq!(separators.take_non_ascii(), !text.is_ascii());
        }
    }
}
