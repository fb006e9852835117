//! What the words of a field's name say.

/// The words of a name in camel case, snake case or kebab case, in lower case: `observedGeneration` and
/// `observed_generation` alike.
pub fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| letters[index]);
        let follows = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| !before.is_ascii_uppercase() || (before.is_ascii_uppercase() && follows));
        if matches!(letter, '_' | '-' | ' ') || begins {
            words.push(String::new());
        }
        if let (Some(word), false) = (words.last_mut(), matches!(letter, '_' | '-' | ' ')) {
            word.push(letter.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a word is one of these, which have spaces between them.
pub fn is(word: &str, of: &str) -> bool {
    of.split_whitespace().any(|other| other == word)
}

/// Whether any of a name's words is one of these.
pub fn any(words: &[String], of: &str) -> bool {
    words.iter().any(|word| is(word, of))
}

/// Whether a name's last word is one of these.
pub fn ends(words: &[String], of: &str) -> bool {
    words.last().is_some_and(|word| is(word, of))
}

pub const STATES: &str = "phase state status";
/// Words of a state that was, such as that in which something failed.
pub const PAST: &str = "failed failure last previous timed timeout";
/// What is counted by counting on.
pub const INCREMENTED: &str = "attempt attempts crash crashes requeue requeues restart restarts retries retry";
/// Those of them that are a count without the word.
pub const COUNTERS: &str = "attempts crashes requeues restarts retries";
pub const COUNTS: &str = "count counter";
/// Ends of numbers that may be counters.
pub const MAYBE_COUNTERS: &str = "\
    attempt completed count counter epoch error errors failed failure failures generation restart retry revision \
    round sequence succeeded total transitions version";
/// Words of numbers that are counted anew, configured or measured.
pub const RECOUNTED: &str = "\
    active allowed available capacity current delay desired duration expected healthy instances interval last left \
    limit max maximum min minimum next nodes pending percent period pods previous ready recent remaining replica \
    replicas running seconds size target threshold timeout unavailable updated waiting window workers";
/// Words of what follows something that changes.
pub const MOVING: &str = "\
    active check checked current deadline desired expiration expiry heartbeat last latest next observed previous \
    probe refresh renew renewal schedule scheduled sync transition until update updated";
/// Words of the times when something starts or ends.
pub const SPANS: &str = "\
    approved began begin cancelled completed completion created creation decided deployed end ended failed failure \
    finish finished first queued selected start started stop stopped submitted succeeded terminated termination \
    triggered";
/// Last words of times.
pub const TIMES: &str = "at date time timestamp";
pub const TEXTS: &str = "\
    cause comment description detail details error errors explanation log logs message note notes output rationale \
    reason severity summary warning";
pub const REFERENCES: &str = "checksum digest fingerprint guid hash id name namespace ref reference uid uuid";
/// Words of lists to whose end entries are added.
pub const HISTORIES: &str = "attempts events history journal log logs";
/// Members that usually identify an entry, the likeliest first.
pub const IDENTITIES: &str = "name id uid key revision index";
/// States that often nothing follows.
pub const FINAL: &str = "\
    aborted canceled cancelled complete completed denied done error expired failed finished rejected sent skipped \
    stopped succeeded success terminated timedout";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        for (name, expected) in [
            ("observedGeneration", "observed generation"),
            ("observed_generation", "observed generation"),
            ("ObservedGeneration", "observed generation"),
            ("instanceID", "instance id"),
            ("APIVersion", "api version"),
            ("crash-count", "crash count"),
            ("phase2State", "phase2 state"),
            ("_x_", "x"),
            ("", ""),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
    }
}
