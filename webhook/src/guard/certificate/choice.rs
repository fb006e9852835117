//! Which of two certificates is served: a pure function.

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairState {
    /// It holds now.
    pub valid: bool,
    /// Every published bundle makes it trusted.
    pub covered: bool,
    /// At least one does.
    pub covered_somewhere: bool,
}

/// What to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairChoice {
    /// What is served already, or was served last.
    Current,
    /// What the files hold now.
    Next,
    /// Handshakes fail: the API server would trust neither.
    Nothing,
}

/// What to serve of the certificate that was served last and the one that the files hold now. `spread`: what is published
/// now has been so for long enough that every API server uses it.
pub fn choose(current: Option<PairState>, next: PairState, spread: bool) -> PairChoice {
    let usable = |pair: PairState| pair.valid && pair.covered;
    let current_is = |of: fn(PairState) -> bool| current.is_some_and(of);
    match current {
        _ if usable(next) && spread => PairChoice::Next,
        Some(current) if usable(current) => PairChoice::Current,
        // There is nothing better to wait for.
        _ if usable(next) => PairChoice::Next,
        _ if current_is(|pair| pair.covered) => PairChoice::Current,
        _ if next.covered => PairChoice::Next,
        // An entry that somebody has spoilt fails its own calls, and not those of the others.
        _ if current_is(|pair| pair.covered_somewhere) => PairChoice::Current,
        _ if next.covered_somewhere => PairChoice::Next,
        _ => PairChoice::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [PairState; 6] = [
        PairState { valid: false, covered: false, covered_somewhere: false },
        PairState { valid: false, covered: false, covered_somewhere: true },
        PairState { valid: false, covered: true, covered_somewhere: true },
        PairState { valid: true, covered: false, covered_somewhere: false },
        PairState { valid: true, covered: false, covered_somewhere: true },
        PairState { valid: true, covered: true, covered_somewhere: true },
    ];

    /// Every state against every other.
    #[test]
    fn what_is_served() {
        let usable = |pair: PairState| pair.valid && pair.covered;
        for current in STATES.into_iter().map(Some).chain([None]) {
            for next in STATES {
                for spread in [false, true] {
                    let case = format!("{current:?} {next:?} spread: {spread}");
                    let choice = choose(current, next, spread);
                    let served = match choice {
                        PairChoice::Current => Some(current.unwrap_or_else(|| unreachable!("{case}"))),
                        PairChoice::Next => Some(next),
                        PairChoice::Nothing => None,
                    };
                    let all = current.into_iter().chain([next]);
                    assert!(served.is_none_or(|served| served.covered_somewhere), "{case}: never what is not covered");
                    assert_eq!(served.is_none(), !all.clone().any(|pair| pair.covered_somewhere), "{case}");
                    assert_eq!(served.is_some_and(|pair| pair.covered), all.clone().any(|pair| pair.covered), "{case}");
                    assert_eq!(served.is_some_and(usable), all.clone().any(usable), "{case}: what holds comes first");
                    if current.is_some_and(usable) {
                        let expected = if usable(next) && spread { PairChoice::Next } else { PairChoice::Current };
                        assert_eq!(choice, expected, "{case}: a good one is replaced when the next can be relied on");
                    }
                }
            }
        }
    }
}
