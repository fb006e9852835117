//! Reviews that were tampered with.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use serde_json::{Value, json};

use crate::edge::review::{self, StatusChange};

/// Real reviews, and what is made of them.
pub struct Forge {
    /// Body, its uid, whether the guard allows it.
    reviews: Vec<(Vec<u8>, String, bool)>,
    forged: u64,
}

/// One body.
pub struct Forged {
    pub body: Vec<u8>,
    /// What must be answered, when nothing was changed.
    pub allowed: Option<bool>,
}

/// Bytes that mean something in JSON.
const LOADED: &[u8] = b"{}[]\":,\\u0-.eE \n\x00\x7f\xff";

impl Forge {
    /// # Errors
    /// When there are no reviews.
    pub fn new() -> anyhow::Result<Self> {
        let mut reviews = Vec::new();
        for size in [2 << 10, 16 << 10, 256 << 10] {
            for write in [StatusChange::Unchanged, StatusChange::Legal, StatusChange::Refused] {
                let body = review::bodies(size, write, 1)?.remove(0);
                reviews.push((body.bytes.to_vec(), body.uid, write != StatusChange::Refused));
            }
        }
        Ok(Self { reviews, forged: 0 })
    }

    /// A body with a uid that no other one has, mostly broken in some way.
    pub fn make(&mut self, attacker: usize, rng: &mut StdRng) -> Forged {
        // Large ones are rare, so that there are many.
        let at = if rng.random_ratio(1, 20) { rng.random_range(6..9) } else { rng.random_range(0..6) };
        let (review, uid, allowed) = &self.reviews[at];
        self.forged += 1;
        let fresh = format!("{attacker:08x}-{:027x}", self.forged);
        let mut body = replaced(review, uid.as_bytes(), fresh.as_bytes());
        if rng.random_ratio(1, 5) {
            return Forged { body, allowed: Some(*allowed) };
        }
        for _ in 0..rng.random_range(1..4) {
            self.tamper(&mut body, rng);
        }
        Forged { body, allowed: None }
    }

    /// A whole review with a uid of its own that costs as much as its author can make it: about a megabyte.
    ///
    /// # Errors
    /// When the review that it is made from is not JSON.
    pub fn costly(&mut self, attacker: usize, rng: &mut StdRng) -> anyhow::Result<Vec<u8>> {
        const ENTRIES: usize = 20_000;
        self.forged += 1;
        let mut review: Value = serde_json::from_slice(&self.reviews[2].0)?;
        let request = &mut review["request"];
        request["uid"] = format!("{attacker:08x}-{:027x}", self.forged).into();
        let long = "x".repeat(1 << 20);
        let attempts = |entries: Vec<Value>| json!({ "phase": "Sending", "deliveryAttempts": entries });
        let equal = || vec![json!({}); ENTRIES];
        let one = |number: u32| vec![json!({ "attempt": number })];
        match rng.random_range(0..7) {
            // What follows a long common beginning is in it again and again.
            0 => {
                request["oldObject"]["status"] = attempts([equal(), one(1)].concat());
                request["object"]["status"] = attempts([equal(), one(2), equal()].concat());
            }
            // Containers that take more room than their text.
            1 => request["object"]["status"] = attempts(vec![json!({ "": [0] }); 4 * ENTRIES]),
            // Long texts where findings, records and replies show texts.
            2 => request["object"]["status"] = json!({ "phase": long }),
            3 => {
                request["oldObject"]["status"] = json!({ "queuedAt": { &long[..]: 1 } });
                request["object"]["status"] = json!({ "queuedAt": { &long[..]: 2 } });
            }
            4 => request["userInfo"]["username"] = long.into(),
            5 => request["uid"] = long.into(),
            // Digits without end.
            _ => request["object"]["status"] = json!({ "phase": "Sending", "totalAttempts": "7".repeat(1 << 20) }),
        }
        Ok(serde_json::to_vec(&review)?)
    }

    fn tamper(&self, body: &mut Vec<u8>, rng: &mut StdRng) {
        if body.is_empty() {
            return;
        }
        let at = rng.random_range(0..body.len());
        let end = (at + rng.random_range(0..200)).min(body.len());
        match rng.random_range(0..10) {
            0 => body[at] = rng.random(),
            1 => body[at] = LOADED[rng.random_range(0..LOADED.len())],
            2 => body.truncate(at),
            3 => drop(body.drain(at..end)),
            4 => {
                let copy = body[at..end].to_vec();
                let to = rng.random_range(0..body.len());
                body.splice(to..to, copy);
            }
            5 => {
                let deep =
                    [b"[".as_slice(), b"{\"a\":", b"\"\\"][rng.random_range(0..3)].repeat(rng.random_range(1..20_000));
                body.splice(at..at, deep);
            }
            6 => {
                // The end of another review.
                let (other, ..) = &self.reviews[rng.random_range(0..6)];
                let from = rng.random_range(0..other.len());
                body.truncate(at);
                body.extend_from_slice(&other[from..]);
            }
            7 => body.splice(at..at, (0..rng.random_range(1..64)).map(|_| rng.next_u32() as u8)).for_each(drop),
            8 => {
                let names: [&[u8]; 6] = [
                    b"\"status\":",
                    b"\"phase\":",
                    b"\"uid\":",
                    b"\"generation\":",
                    b"\"totalAttempts\":",
                    b"\"oldObject\":",
                ];
                let name = names[rng.random_range(0..names.len())];
                let odd: [&[u8]; 8] =
                    [b"null,", b"[],", b"{},", b"1e999999999,", b"-0.0,", b"\"\\ud800\",", b"true,", b"[[[[{}]]]],"];
                let value = odd[rng.random_range(0..odd.len())];
                if let Some(found) = body.windows(name.len()).position(|window| window == name) {
                    let place = found + name.len();
                    // Doubles the member: its first value is the odd one.
                    body.splice(place..place, [value, name].concat());
                }
            }
            _ => {
                let other = rng.random_range(0..body.len());
                body.swap(at, other);
            }
        }
    }
}

/// Whether a uid may stand in the reply to a body: the review's own one in a verdict, else at least one that the body
/// holds. In a body that is not a review the uid is not known: it may be cut off, or there may be two.
pub fn may_answer(body: &[u8], uid: &str, verdict: bool) -> bool {
    let held = |uid: &str| body.windows(uid.len().max(1)).any(|window| window == uid.as_bytes());
    match serde_json::from_slice::<Value>(body) {
        Ok(review) if verdict => review["request"]["uid"].as_str() == Some(uid),
        _ => held(uid) || uid.contains(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-'),
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_reply_to_another_review_is_noticed() {
        let mut forge = Forge::new().unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let (mut whole, mut broken) = (0, 0);
        for _ in 0..200 {
            let Forged { body, allowed } = forge.make(1, &mut rng);
            assert!(!may_answer(&body, "00000002-000000000000000000000000001", true));
            assert!(!may_answer(&body, "00000002-000000000000000000000000001", false));
            match serde_json::from_slice::<Value>(&body) {
                Ok(review) if allowed.is_some() => {
                    whole += 1;
                    assert!(may_answer(&body, review["request"]["uid"].as_str().unwrap(), true));
                    // Another one that the body holds.
                    assert!(!may_answer(&body, review["request"]["object"]["metadata"]["uid"].as_str().unwrap(), true));
                }
                Ok(_) => {}
                Err(_) => broken += 1,
            }
        }
        assert!(whole > 10 && broken > 10, "{whole} {broken}");
    }
}
