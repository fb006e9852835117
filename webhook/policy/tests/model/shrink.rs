//! Makes a case small: drops whatever is not needed for it to stay wrong.

use super::value::Val;

/// Smaller values, one step away.
fn smaller(value: &Val) -> Vec<Val> {
    let mut all = Vec::new();
    match value {
        Val::List(items) => {
            for i in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(i);
                all.push(Val::List(fewer));
            }
            for (i, item) in items.iter().enumerate() {
                for less in smaller(item) {
                    let mut changed = items.clone();
                    changed[i] = less;
                    all.push(Val::List(changed));
                }
            }
        }
        Val::Map(members) => {
            for name in members.keys() {
                let mut fewer = members.clone();
                fewer.remove(name);
                all.push(Val::Map(fewer));
            }
            for (name, member) in members {
                for less in smaller(member) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), less);
                    all.push(Val::Map(changed));
                }
            }
        }
        Val::Str(text) if text.len() > 1 && !text.contains(['.', '(']) => all.push(Val::str("a")),
        Val::Num(text) if text.len() > 1 => all.push(Val::int(1)),
        _ => {}
    }
    all
}

/// The smallest values that can be reached and for which `wrong` still holds.
pub(crate) fn shrink<const N: usize>(values: [Val; N], wrong: impl Fn(&[Val; N]) -> bool) -> [Val; N] {
    let mut best = values;
    'again: loop {
        for i in 0..N {
            for less in smaller(&best[i]) {
                let mut tried = best.clone();
                tried[i] = less;
                if wrong(&tried) {
                    best = tried;
                    continue 'again;
                }
            }
        }
        return best;
    }
}
