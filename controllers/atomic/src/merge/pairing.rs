//! Which entry of a list is which: of the raw list and its typed reading, and of the reading before and after a change.
//!
//! An identity tells where there is one. Else entries that are equal are the same, and an entry that
//! has changed is the one that stood at its place between two that have not. Takes time in
//! proportion to the length of the lists.

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use serde_json::Value;

use crate::json::canonical;

/// Members by which Kubernetes types name the entries of a list, most telling first.
const IDENTITIES: [&str; 5] = ["type", "name", "id", "uid", "key"];

/// How many entries of a list that was sorted or folded are looked at to find the one that a reading was made of.
const CANDIDATES: usize = 16;

/// For each entry of `before` the entry of `raw` that it was read from.
pub(super) fn origins(raw: &[Value], before: &[Value]) -> Vec<Option<usize>> {
    // A type reads entries in order, leaving out what it cannot see.
    if let Some(in_order) = subsequence(raw, before) {
        return in_order;
    }
    // In whatever order, a name tells.
    if let Some(by_name) = namesakes(raw, before) {
        return by_name;
    }
    // It may fill in defaults as well, unless what it says stands elsewhere in just these words: then it was moved.
    let aligned = raw.len() == before.len();
    let pairs = || raw.iter().zip(before);
    let elsewhere: HashSet<String> =
        pairs().filter(|(raw, before)| raw != before).map(|(raw, _)| raw.to_string()).collect();
    let moved = pairs().any(|(raw, before)| !holds(raw, before) && elsewhere.contains(&before.to_string()));
    let in_place = || (0..before.len()).map(Some).collect();
    if aligned && !moved && pairs().all(|(raw, before)| agreement(raw, before) > Some(0)) {
        return in_place();
    }
    // Or sort and fold them: then each that did not stay is the one it agrees with most.
    let stayed = |index: usize| aligned && raw[index] == before[index];
    let mut free = FreeEntries::new(raw, (0..raw.len()).filter(|index| !stayed(*index)));
    let mut found: Vec<Option<usize>> = before
        .iter()
        .enumerate()
        .map(|(index, before)| if stayed(index) { Some(index) } else { free.take_most_alike(before) })
        .collect();
    // Or write values in another form (times, numbers, variants it does not know), which only the position can tell.
    if aligned && found.contains(&None) {
        if !moved {
            return in_place();
        }
        let unknown = found.iter_mut().filter(|found| found.is_none());
        unknown.zip(free.places).for_each(|(found, left)| *found = Some(left));
    }
    found
}

/// Entries of a raw list that are nobody's origin yet, to be found by what they say.
struct FreeEntries<'a> {
    raw: &'a [Value],
    places: BTreeSet<usize>,
    /// Those that say something, by what they say.
    saying: HashMap<u64, BTreeSet<usize>>,
}

impl<'a> FreeEntries<'a> {
    fn new(raw: &'a [Value], places: impl Iterator<Item = usize>) -> Self {
        let (places, mut saying) = (BTreeSet::from_iter(places), HashMap::<u64, BTreeSet<usize>>::new());
        for index in &places {
            for statement in statements(&raw[*index]) {
                saying.entry(statement).or_default().insert(*index);
            }
        }
        Self { raw, places, saying }
    }

    /// Of those that agree most, the first.
    fn take_most_alike(&mut self, before: &Value) -> Option<usize> {
        let found = statements(before);
        let mut groups: Vec<_> = found.iter().filter_map(|statement| self.saying.get(statement)).collect();
        // What few say tells most.
        groups.sort_unstable_by_key(|group| group.len());
        let rank = |index: &usize| (self.raw[*index] == *before, agreement(&self.raw[*index], before), Reverse(*index));
        let ranks = groups.into_iter().flatten().take(CANDIDATES).map(rank);
        let (_, _, Reverse(taken)) = ranks.filter(|(_, agreement, _)| *agreement > Some(0)).max()?;
        self.places.remove(&taken);
        for statement in statements(&self.raw[taken]) {
            self.saying.entry(statement).or_default().remove(&taken);
        }
        Some(taken)
    }
}

/// A hash of each value that an entry has, together with its place in the entry.
fn statements(entry: &Value) -> HashSet<u64> {
    fn collect(value: &Value, hasher: &DefaultHasher, found: &mut HashSet<u64>) {
        let at = |place: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = hasher.clone();
            place(&mut hasher);
            hasher
        };
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| collect(value, &at(&|hasher| name.hash(hasher)), found));
            }
            Value::Array(entries) => {
                let numbered = entries.iter().enumerate();
                numbered.for_each(|(index, value)| collect(value, &at(&|hasher| index.hash(hasher)), found));
            }
            scalar => {
                found.insert(at(&|hasher| scalar.to_string().hash(hasher)).finish());
            }
        }
    }
    let mut found = HashSet::new();
    collect(entry, &DefaultHasher::new(), &mut found);
    found
}

/// For each entry of `before` the only one of `raw` with its name, if an identity names them all.
fn namesakes(raw: &[Value], before: &[Value]) -> Option<Vec<Option<usize>>> {
    IDENTITIES.iter().find_map(|member| {
        unique(before, member)?;
        let mut bearers: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, entry) in raw.iter().enumerate() {
            if let Some(name) = name(entry, member) {
                bearers.entry(name).or_default().push(index);
            }
        }
        let only = |before: &Value| match bearers.get(&name(before, member)?)?[..] {
            [index] => Some(Some(index)),
            _ => None,
        };
        before.iter().map(only).collect()
    })
}

/// `before` as a part of `raw` in the same order, if every entry holds all that its reading says, and that is something.
fn subsequence(raw: &[Value], before: &[Value]) -> Option<Vec<Option<usize>>> {
    let mut indexed = raw.iter().enumerate();
    let next = |before: &Value| {
        let something = before.as_object().is_none_or(|before| !before.is_empty());
        indexed.find(|(_, raw)| *raw == before || (something && holds(raw, before))).map(|(index, _)| Some(index))
    };
    before.iter().map(next).collect()
}

/// Whether `raw` says all that `typed` does.
fn holds(raw: &Value, typed: &Value) -> bool {
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => {
            typed.iter().all(|(name, typed)| raw.get(name).is_some_and(|raw| holds(raw, typed)))
        }
        (Value::Array(raw), Value::Array(typed)) => {
            raw.len() == typed.len() && raw.iter().zip(typed).all(|(raw, typed)| holds(raw, typed))
        }
        (raw, typed) => raw == typed,
    }
}

/// How many values `raw` and `typed` have in common; none if they contradict each other, and `typed` then is not the
/// reading of `raw`.
fn agreement(raw: &Value, typed: &Value) -> Option<usize> {
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => {
            typed.iter().filter_map(|(name, typed)| Some(agreement(raw.get(name)?, typed))).sum()
        }
        (Value::Array(raw), Value::Array(typed)) if raw.len() == typed.len() => {
            raw.iter().zip(typed).map(|(raw, typed)| agreement(raw, typed)).sum()
        }
        (raw, typed) => (raw == typed).then_some(1),
    }
}

/// For each entry of `after` the entry of `before` that it continues.
pub(super) fn sources(before: &[Value], after: &[Value]) -> Vec<Option<usize>> {
    if let Some(by_name) = named(before, after) {
        return by_name;
    }
    let mut source = equals(before, after);
    let mut is_free = vec![true; before.len()];
    source.iter().flatten().for_each(|index| is_free[*index] = false);

    // Between two neighbours that have not changed, what has stands in its old order.
    let fixed = ascending(&source);
    let (mut after_from, mut before_from) = (0, 0);
    for (after_to, before_to) in fixed.into_iter().chain([(after.len(), before.len())]) {
        let new: Vec<usize> = (after_from..after_to).filter(|index| source[*index].is_none()).collect();
        let old: Vec<usize> = (before_from..before_to).filter(|index| is_free[*index]).collect();
        // Lists lose their oldest entries, which come first, and gain new ones at their end.
        let dropped = old.len().saturating_sub(new.len());
        for (new, old) in new.into_iter().zip(old.into_iter().skip(dropped)) {
            source[new] = edited(&before[old], &after[new]).then_some(old);
        }
        (after_from, before_from) = (after_to + 1, before_to + 1);
    }
    source
}

/// For each entry of `after` an equal one of `before`, each taken once: what did not move where that leaves a choice.
fn equals(before: &[Value], after: &[Value]) -> Vec<Option<usize>> {
    let head = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let tail = before[head..].iter().rev().zip(after[head..].iter().rev()).take_while(|(b, a)| b == a).count();
    let (before_end, after_end) = (before.len() - tail, after.len() - tail);
    let mut places: HashMap<String, VecDeque<usize>> = HashMap::new();
    for (index, entry) in before.iter().enumerate().take(before_end).skip(head) {
        places.entry(canonical(entry)).or_default().push_back(index);
    }
    let find = |(index, entry): (usize, &Value)| match index {
        _ if index < head => Some(index),
        _ if index >= after_end => Some(index - after_end + before_end),
        _ => places.get_mut(&canonical(entry))?.pop_front(),
    };
    after.iter().enumerate().map(find).collect()
}

/// The longest part of `source` that kept its order, as pairs of places after and before.
fn ascending(source: &[Option<usize>]) -> Vec<(usize, usize)> {
    // By length, the part of that length that ends earliest in the list before; each pair with the one it follows.
    let (mut ends, mut previous): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    let pairs: Vec<(usize, usize)> =
        source.iter().enumerate().filter_map(|(after, before)| Some((after, (*before)?))).collect();
    for (number, (_, before)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *before);
        previous.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() { ends.push(number) } else { ends[length] = number }
    }
    let mut part: Vec<(usize, usize)> =
        std::iter::successors(ends.last().copied(), |number| previous[*number]).map(|number| pairs[number]).collect();
    part.reverse();
    part
}

/// Pairs entries by an identity, if one names every entry of both lists.
fn named(before: &[Value], after: &[Value]) -> Option<Vec<Option<usize>>> {
    IDENTITIES.iter().find_map(|member| {
        let old = unique(before, member)?;
        unique(after, member)?;
        Some(after.iter().map(|entry| old.get(&name(entry, member)?).copied()).collect())
    })
}

/// The position of each name, if every entry has one and no two share it.
fn unique(list: &[Value], member: &str) -> Option<HashMap<String, usize>> {
    let names = list.iter().enumerate().map(|(index, entry)| Some((name(entry, member)?, index)));
    let names: HashMap<String, usize> = names.collect::<Option<_>>()?;
    (names.len() == list.len()).then_some(names)
}

/// What names an entry: a text or a number.
fn name(entry: &Value, member: &str) -> Option<String> {
    entry.get(member).filter(|name| name.is_string() || name.is_number()).map(canonical)
}

/// Without an identity an entry is taken for an edited one when at least half of it stayed.
fn edited(before: &Value, after: &Value) -> bool {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return false;
    };
    let kept = before.iter().filter(|(name, value)| after.get(*name) == Some(value)).count();
    kept > 0 && kept * 2 >= before.len()
}
