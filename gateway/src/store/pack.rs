//! Packs whole numbers into as few bits as their spread needs.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | order: how many times differences are taken, 0 to 2 |
//! | varint | base, zigzag: the first number |
//! | varint | step: what all differences from the base are multiples of |
//! | varints | zigzag: the first multiples, as many as the order says |
//! | blocks | 128 differences each, the last one less |
//!
//! A block is one byte of width, a zigzag varint of its least difference, and what the others have more than that, in so
//! many bits each, the lowest first. Series that stand still, and times of an even step, have width 0; digits without a
//! pattern take the bits that they are worth. All arithmetic wraps, so that every list of numbers comes back.

/// Differences of one width.
const BLOCK: usize = 128;
/// Bits of a block's header, about, when orders are compared.
const BLOCK_HEADER_BITS: u64 = 24;
/// Differences are taken this often at most.
const ORDER_MAX: usize = 2;

/// What packing writes into, used again for the next list.
#[derive(Default)]
pub(super) struct Packer {
    orders: [Vec<i64>; ORDER_MAX + 1],
}

impl Packer {
    /// Packs a list behind what `out` holds.
    pub(super) fn pack(&mut self, list: &[i64], out: &mut Vec<u8>) {
        let base = list.first().copied().unwrap_or_default();
        let step = common_step(list, base);
        self.orders[0].clear();
        let multiples = list.iter().map(|value| value.wrapping_sub(base));
        if step > 1 {
            let step = step as i64;
            self.orders[0].extend(multiples.map(|difference| difference / step));
        } else {
            self.orders[0].extend(multiples);
        }
        let order = self.cheapest_order();
        out.push(order as u8);
        push_varint(out, zigzag(base));
        push_varint(out, step);
        for taken in 0..order {
            push_varint(
                out,
                zigzag(self.orders[taken].first().copied().unwrap_or_default()),
            );
        }
        for block in self.orders[order].chunks(BLOCK) {
            push_block(out, block);
        }
    }

    /// Takes differences as long as they make the list smaller; returns how often.
    fn cheapest_order(&mut self) -> usize {
        let mut best = cost_bits(&self.orders[0]);
        for order in 1..=ORDER_MAX {
            let (lower, higher) = self.orders.split_at_mut(order);
            let (lower, higher) = (&lower[order - 1], &mut higher[0]);
            higher.clear();
            higher.extend(lower.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
            let cost = cost_bits(higher);
            if cost >= best {
                return order - 1;
            }
            best = cost;
        }
        ORDER_MAX
    }
}

/// Returns what all differences from the base are multiples of; 1 where that is nothing, or they do not fit 64 bits.
fn common_step(list: &[i64], base: i64) -> u64 {
    let mut step = 0;
    for value in list {
        let Some(difference) = value.checked_sub(base) else {
            return 1;
        };
        let difference = difference.unsigned_abs();
        if step == 0 || difference % step != 0 {
            step = common_divisor(step, difference);
        }
        if step == 1 {
            return 1;
        }
    }
    // Beyond the positive half the quotient's sign would be lost.
    if step == 0 || i64::try_from(step).is_err() {
        1
    } else {
        step
    }
}

/// Euclid's algorithm.
fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn least_and_width(block: &[i64]) -> (i64, u32) {
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for value in block {
        least = least.min(*value);
        most = most.max(*value);
    }
    let spread = most.wrapping_sub(least) as u64;
    (least, u64::BITS - spread.leading_zeros())
}

fn cost_bits(list: &[i64]) -> u64 {
    list.chunks(BLOCK)
        .map(|block| {
            let (_, width) = least_and_width(block);
            u64::from(width) * block.len() as u64 + BLOCK_HEADER_BITS
        })
        .sum()
}

fn push_block(out: &mut Vec<u8>, block: &[i64]) {
    let (least, width) = least_and_width(block);
    out.push(width as u8);
    push_varint(out, zigzag(least));
    if width == 0 {
        return;
    }
    let (mut waiting, mut bits) = (0_u64, 0);
    for value in block {
        let rest = value.wrapping_sub(least) as u64;
        waiting |= rest << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend_from_slice(&waiting.to_le_bytes());
            bits -= u64::BITS;
            waiting = rest.checked_shr(width - bits).unwrap_or_default();
        }
    }
    out.extend_from_slice(&waiting.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// Unpacks a list of so many numbers, which begins where `bytes` does; `None` where they are none.
pub(super) fn unpack(bytes: &mut &[u8], count: usize) -> Option<Vec<i64>> {
    let order = usize::from(take(bytes, 1)?[0]);
    if order > ORDER_MAX {
        return None;
    }
    let base = unzigzag(take_varint(bytes)?);
    let step = take_varint(bytes)? as i64;
    let mut firsts = [0; ORDER_MAX];
    for first in &mut firsts[..order] {
        *first = unzigzag(take_varint(bytes)?);
    }
    let mut list = Vec::with_capacity(count);
    list.extend_from_slice(&firsts[..order.min(count)]);
    let mut left = count.saturating_sub(order);
    while left > 0 {
        let block = left.min(BLOCK);
        unpack_block(bytes, block, &mut list)?;
        left -= block;
    }
    // Of the last order's list, all but what stands before it are differences.
    for taken in (0..order).rev() {
        let mut before = *list.get(taken)?;
        for value in &mut list[taken + 1..] {
            before = before.wrapping_add(*value);
            *value = before;
        }
    }
    for value in &mut list {
        *value = value.wrapping_mul(step).wrapping_add(base);
    }
    Some(list)
}

fn unpack_block(bytes: &mut &[u8], count: usize, list: &mut Vec<i64>) -> Option<()> {
    let width = u32::from(take(bytes, 1)?[0]);
    let least = unzigzag(take_varint(bytes)?);
    if width == 0 {
        list.resize(list.len() + count, least);
        return Some(());
    }
    if width > u64::BITS {
        return None;
    }
    let packed = take(bytes, (count * width as usize).div_ceil(8))?;
    let mut words = packed.chunks(8).map(|word| {
        let mut whole = [0; 8];
        whole[..word.len()].copy_from_slice(word);
        u64::from_le_bytes(whole)
    });
    let mask = u128::from(u64::MAX >> (u64::BITS - width));
    let (mut waiting, mut bits) = (0_u128, 0);
    for _ in 0..count {
        if bits < width {
            waiting |= u128::from(words.next()?) << bits;
            bits += u64::BITS;
        }
        list.push(least.wrapping_add((waiting & mask) as i64));
        waiting >>= width;
        bits -= width;
    }
    Some(())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Writes a number in groups of seven bits, the lowest first.
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`push_varint`] wrote; `None` where it is cut off or too long.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(list: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        Packer::default().pack(list, &mut out);
        out
    }

    #[test]
    fn what_has_a_pattern_takes_next_to_nothing() {
        let even: Vec<i64> = (0..8_192)
            .map(|n| 1_735_689_600_000_000_000 + n * 10_000_000_000)
            .collect();
        assert!(packed(&even).len() < 220, "{}", packed(&even).len());
        assert!(packed(&vec![7; 8_192]).len() < 150);
    }

    #[test]
    fn digits_without_a_pattern_take_what_they_are_worth() {
        let mut state = 1_u64;
        let digits: Vec<i64> = (0..8_192)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 44) as i64
            })
            .collect();
        let bits = packed(&digits).len() * 8 / digits.len();
        assert_eq!(bits, 20, "20 random bits a number");
    }

    fn lists() -> impl Strategy<Value = Vec<i64>> {
        use proptest::collection::vec;
        prop_oneof![
            vec(any::<i64>(), 0..400),
            vec(-1_000..1_000_i64, 0..400),
            vec(
                prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), -9..9_i64],
                0..300
            ),
            (any::<i64>(), 1..1_000_000_000_i64, 0..400_i64).prop_map(|(base, step, count)| {
                (0..count)
                    .map(|n| base.wrapping_add(step.wrapping_mul(n)))
                    .collect()
            }),
            (vec(0..5_i64, 0..300), 2..1_000_i64)
                .prop_map(|(list, step)| list.into_iter().map(|value| value * step).collect()),
        ]
    }

    proptest! {
        #[test]
        fn every_list_comes_back(list in lists()) {
            let bytes = packed(&list);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(unpack(&mut rest, list.len()), Some(list));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn damaged_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), count in 0..500_usize) {
            let _ = unpack(&mut bytes.as_slice(), count);
        }
    }
}
