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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Byte by byte, as anyone would write it.
    fn plain_container_end(bytes: &[u8], start: usize) -> Option<usize> {
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        for (index, byte) in bytes.iter().enumerate().skip(start) {
            // A backslash escapes also outside of strings, where JSON has none.
            match byte {
                _ if escaped => escaped = false,
                b'\\' => {
                    escaped = true;
                    continue;
                }
                b'"' => in_string = !in_string,
                _ => {}
            }
            if in_string {
                continue;
            }
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(index + 1);
            }
        }
        None
    }

    fn plain_string_end(bytes: &[u8], start: usize) -> Option<usize> {
        let mut escaped = false;
        for (index, byte) in bytes.iter().enumerate().skip(start + 1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Some(index + 1),
                _ => {}
            }
        }
        None
    }

    /// Bytes that matter to the scanner, their neighbours, and filling.
    fn nasty() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => proptest::sample::select(b"{}[]\"\\".to_vec()),
            2 => proptest::sample::select(b"ZY^_|~z\x5b\x1b\x02!#".to_vec()),
            2 => any::<u8>(),
        ];
        let run = (byte, prop_oneof![4 => Just(1_usize), 1 => 1..80_usize]);
        proptest::collection::vec(run, 0..150)
            .prop_map(|runs| runs.iter().flat_map(|(byte, n)| vec![*byte; *n]).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn containers_end_where_they_end_byte_by_byte(tail in nasty(), before in 0..70_usize) {
            let mut bytes = vec![b'"'; before];
            bytes.push(b'{');
            bytes.extend(tail);
            prop_assert_eq!(
                container_end(&bytes, before),
                plain_container_end(&bytes, before)
            );
        }

        #[test]
        fn strings_end_where_they_end_byte_by_byte(tail in nasty(), before in 0..20_usize) {
            let mut bytes = vec![b'['; before];
            bytes.push(b'"');
            bytes.extend(tail);
            prop_assert_eq!(string_end(&bytes, before), plain_string_end(&bytes, before));
        }
    }

    #[test]
    fn brackets_in_strings_and_escapes_do_not_count() {
        for (text, end) in [
            ("{}", Some(2)),
            ("{}}", Some(2)),
            ("[]tail", Some(2)),
            (r#"{"a":"}"}"#, Some(9)),
            (r#"{"a":"\"}"}"#, Some(11)),
            (r#"{"a":"\\"}"#, Some(10)),
            (r#"{"a":"\\\"}"}"#, Some(13)),
            ("{", None),
            (r#"{"a":"}"#, None),
            (r#"{"a":"\"}"#, None),
            ("[[[]]", None),
        ] {
            assert_eq!(container_end(text.as_bytes(), 0), end, "{text}");
        }
    }

    /// The same text at every place relative to a block's border.
    #[test]
    fn borders_of_blocks() {
        let value = br#"{"k\\\"":["}",{"a":"\\"},[]],"z":{}}"#;
        for before in 0..=3 * BLOCK {
            let mut bytes = vec![b'['];
            bytes.extend(std::iter::repeat_n(b' ', before));
            bytes.extend(value);
            let inner = bytes.len();
            bytes.extend(b"] and more");
            assert_eq!(container_end(&bytes, 1 + before), Some(inner), "at {before}");
            assert_eq!(container_end(&bytes, 0), Some(inner + 1), "around {before}");
        }
    }

    #[test]
    fn any_depth_and_any_pattern_in_linear_time() {
        const SIZE: usize = 1 << 20;
        let deep = [vec![b'['; SIZE / 2], vec![b']'; SIZE / 2]].concat();
        assert_eq!(container_end(&deep, 0), Some(SIZE));
        for pattern in ["{}", "[[],", "\\\\", "\"\\\"", "{\"}\"", "\"\"", "]["] {
            let mut bytes = b"[[".to_vec();
            bytes.extend(pattern.bytes().cycle().take(SIZE));
            assert_eq!(container_end(&bytes, 0), plain_container_end(&bytes, 0), "{pattern}");
            assert_eq!(string_end(&bytes, 1), plain_string_end(&bytes, 1), "{pattern}");
        }
    }
}
