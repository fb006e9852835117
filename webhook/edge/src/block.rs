//! Finds where a JSON container or string ends, without looking at what is in it.
//!
//! A container is read in blocks of 64 bytes. Each block becomes four bit sets (bit i = byte i):
//! quotes, backslashes, opening and closing brackets. Quotes that are not escaped toggle "inside a
//! string", so the running xor of their bits is the set of bytes inside strings, and the brackets
//! outside of it are counted. Only a block in which the depth can reach zero is walked bit by bit.
//! Work is linear in the bytes and nothing recurses, however deep the nesting.
//!
//! Only balance is checked: `[}` closes, and what stands between the brackets may be anything.

use wide::u8x16;

const BLOCK: usize = 64;
const LANE: usize = 16;

/// What one block carries over to the next.
#[derive(Clone, Copy, Default)]
struct Carry {
    /// All ones when the next block begins inside a string, else zero.
    in_string: u64,
    /// One when the first byte of the next block is escaped, else zero.
    escaped: u64,
}

/// The brackets of one block that stand outside of strings.
struct Brackets {
    opens: u64,
    closes: u64,
}

/// The end (exclusive) of the container whose opening bracket is at `start`; `None` if the bytes
/// end before it does.
pub(crate) fn container_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    let mut depth = 1_u64;
    let mut carry = Carry::default();
    loop {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let Brackets { opens, closes } = if let Some(block) = rest.first_chunk::<BLOCK>() {
            brackets(block, &mut carry)
        } else {
            let mut padded = [b' '; BLOCK];
            padded[..rest.len()].copy_from_slice(rest);
            brackets(&padded, &mut carry)
        };
        let closing = u64::from(closes.count_ones());
        if closing < depth {
            depth = depth - closing + u64::from(opens.count_ones());
        } else {
            let mut left = opens | closes;
            while left != 0 {
                let lowest = left & left.wrapping_neg();
                if opens & lowest != 0 {
                    depth += 1;
                } else {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at + lowest.trailing_zeros() as usize + 1);
                    }
                }
                left ^= lowest;
            }
        }
        at += BLOCK;
    }
}

/// The end (exclusive, after the closing quote) of the string whose opening quote is at `start`.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let rest = bytes.get(at..)?;
        at += if let Some(lane) = rest.first_chunk::<LANE>() {
            let lane = u8x16::new(*lane);
            let hits = (equal(lane, b'"') | equal(lane, b'\\')).to_bitmask();
            if hits == 0 {
                at += LANE;
                continue;
            }
            hits.trailing_zeros() as usize
        } else {
            rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?
        };
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn equal(lane: u8x16, byte: u8) -> u8x16 {
    lane.simd_eq(u8x16::splat(byte))
}

fn brackets(block: &[u8; BLOCK], carry: &mut Carry) -> Brackets {
    let (lanes, _) = block.as_chunks::<LANE>();
    let (mut quotes, mut backslashes, mut opens, mut closes) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (index, lane) in lanes.iter().enumerate() {
        let shift = LANE * index;
        let lane = u8x16::new(*lane);
        // Folds [ onto { and ] onto }, and nothing else onto either.
        let folded = lane | u8x16::splat(0x20);
        quotes |= u64::from(equal(lane, b'"').to_bitmask()) << shift;
        backslashes |= u64::from(equal(lane, b'\\').to_bitmask()) << shift;
        opens |= u64::from(equal(folded, b'{').to_bitmask()) << shift;
        closes |= u64::from(equal(folded, b'}').to_bitmask()) << shift;
    }
    let quotes = quotes & !escaped(backslashes, &mut carry.escaped);
    let in_string = running_xor(quotes) ^ carry.in_string;
    carry.in_string = (in_string >> 63).wrapping_neg();
    Brackets { opens: opens & !in_string, closes: closes & !in_string }
}

/// The bytes of a block that a backslash escapes. Blocks with backslashes are rare enough for a
/// loop over them.
fn escaped(backslashes: u64, carry: &mut u64) -> u64 {
    let mut escaped = *carry;
    *carry = 0;
    let mut left = backslashes & !escaped;
    while left != 0 {
        let lowest = left & left.wrapping_neg();
        let after = lowest << 1;
        escaped |= after;
        if after == 0 {
            *carry = 1;
        }
        left &= !(lowest | after);
    }
    escaped
}

/// Bit i of the result is the xor of the bits 0 to i.
fn running_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
