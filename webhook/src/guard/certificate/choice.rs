//! Which of two certificates is served: a pure function.

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairState {
    /// It holds now.
    pub valid: bool,
    /// Every published bundle makes it trusted.
    pub covered: bool,
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
    let current_covered = current.is_some_and(|current| current.covered);
    match current {
        _ if usable(next) && spread => PairChoice::Next,
        Some(current) if usable(current) => PairChoice::Current,
        // There is nothing better to wait for.
        _ if usable(next) => PairChoice::Next,
        _ if current_covered => PairChoice::Current,
        _ if next.covered => PairChoice::Next,
        _ => PairChoice::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [PairState; 4] = [
        PairState { valid: false, covered: false },
        PairState { valid: false, covered: true },
        PairState { valid: true, covered: false },
        PairState { valid: true, covered: true },
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
                    assert!(served.is_none_or(|served| served.covered), "{case}: never what is not covered");
                    assert_eq!(served.is_none(), !all.clone().any(|pair| pair.covered), "{case}");
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
