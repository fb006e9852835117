//! R8 for lists: duplicates, went, order and pairs.

use super::judge::{Class, Found, stale_if};
use super::reading::{identity, same, same_identity};
use super::value::{NULL, Val};

/// One entry of a list.
struct Entry<'a> {
    content: &'a Val,
    identity: Val,
    /// How many entries of that identity come before it.
    nth: usize,
    /// Its index as written.
    index: usize,
}

fn entries<'a>(list: &'a Val, key: Option<&[String]>, backwards: bool) -> Vec<Entry<'a>> {
    let mut items: Vec<(usize, &Val)> = list.items().iter().enumerate().collect();
    if backwards {
        items.reverse();
    }
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for (index, content) in items {
        let identity = identity(key, content);
        let nth = count(&entries, &identity);
        entries.push(Entry { content, identity, nth, index });
    }
    entries
}

fn count(entries: &[Entry<'_>], identity: &Val) -> usize {
    entries.iter().filter(|e| same_identity(&e.identity, identity)).count()
}

/// Whether some identity is in `o` more often than in `n`.
fn something_went(o: &[Entry<'_>], n: &[Entry<'_>]) -> bool {
    o.iter().any(|e| count(o, &e.identity) > count(n, &e.identity))
}

/// Judges R8.1 to R8.5; the result are the pairs for R8.6: index, old content, new content.
pub(crate) fn judge<'a>(
    rule: &Val,
    restarts: bool,
    reset: bool,
    old: &'a Val,
    new: &'a Val,
    field: &str,
    found: &mut Found,
) -> Vec<(usize, &'a Val, &'a Val)> {
    let key = rule.has("key").then(|| rule.at("key").words());
    let keyed = key.is_some();
    let frozen = !rule.has("each");
    let order = rule.at("order").as_str().unwrap_or("Append");
    let keep: Option<usize> = match rule.at("keep") {
        Val::Num(n) => Some(n.parse().expect("keep is All or a count")),
        _ => None,
    };
    let mut o = entries(old, key.as_deref(), order == "Prepend");
    let n = entries(new, key.as_deref(), order == "Prepend");

    if keyed {
        duplicates(&mut o, &n, field, found);
    }
    let pair = |e: &Entry<'_>| o.iter().find(|p| same_identity(&p.identity, &e.identity) && p.nth == e.nth);
    if !reset {
        if order == "Any" || keep == Some(0) {
            if keep != Some(0) && something_went(&o, &n) {
                found.find("HistoryTruncated", Class::Stale, field);
            }
            for e in &n {
                if frozen && pair(e).is_some_and(|p| !same(p.content, e.content)) {
                    found.find("HistoryRewritten", Class::Stale, &format!("{field}[{}]", e.index));
                }
            }
        } else {
            let equal = |a: &Entry<'_>, b: &Entry<'_>| {
                same_identity(&a.identity, &b.identity)
                    && (!frozen || same(a.content, b.content))
                    && (!keyed || a.nth == b.nth)
            };
            let class = match keep {
                None => keep_all(&o, &n, &equal),
                Some(keep) => window(&o, &n, keep, keyed, &equal),
            };
            if let Some(class) = class {
                let reason = if something_went(&o, &n) { "HistoryTruncated" } else { "HistoryRewritten" };
                found.find(reason, stale_if(restarts || class == Class::Stale), field);
            }
        }
    }
    n.iter().map(|e| (e.index, pair(e).map_or(&NULL, |p| p.content), e.content)).collect()
}

/// R8.1; takes the surplus copies that went out of `o`.
fn duplicates(o: &mut Vec<Entry<'_>>, n: &[Entry<'_>], field: &str, found: &mut Found) {
    for e in n.iter().filter(|e| e.nth == 0) {
        let (before, now) = (count(o, &e.identity), count(n, &e.identity));
        if now > 1 && now > before {
            let class = stale_if(before > 0 && now == before + 1);
            found.find("HistoryDuplicate", class, field);
        } else if now > 1 {
            found.waive("HistoryDuplicate", field);
        }
    }
    let firsts: Vec<Val> = o.iter().filter(|e| e.nth == 0).map(|e| e.identity.clone()).collect();
    for identity in firsts {
        let left = count(n, &identity).max(1);
        if count(o, &identity) > left {
            found.waive("HistoryDuplicate", field);
            o.retain(|e| !same_identity(&e.identity, &identity) || e.nth < left);
        }
    }
}

/// R8.3.
fn keep_all<'a>(o: &[Entry<'a>], n: &[Entry<'a>], equal: &dyn Fn(&Entry<'a>, &Entry<'a>) -> bool) -> Option<Class> {
    let mut k = 0;
    while k < o.len() && k < n.len() && equal(&o[k], &n[k]) {
        k += 1;
    }
    if k == o.len() {
        return None;
    }
    let seen = n[k..].iter().any(|e| o[k..].iter().any(|p| equal(p, e)));
    Some(stale_if(!seen))
}

/// R8.4.
fn window<'a>(
    o: &[Entry<'a>],
    n: &[Entry<'a>],
    keep: usize,
    keyed: bool,
    equal: &dyn Fn(&Entry<'a>, &Entry<'a>) -> bool,
) -> Option<Class> {
    let run = |from: usize, at: usize, len: usize| (0..len).all(|i| equal(&o[from + i], &n[at + i]));
    let enough = !something_went(o, n) || n.len() >= keep;
    let slides = (0..o.len()).any(|from| {
        let end = o.len() - from;
        let follows = |p: &Entry<'a>, e: &Entry<'a>| equal(p, e) || (keyed && same_identity(&p.identity, &e.identity));
        end <= n.len() && run(from, 0, end) && !n[end..].iter().any(|e| o[..from].iter().any(|p| follows(p, e)))
    });
    if o.is_empty() || (slides && enough) {
        return None;
    }
    // The shared entries are one run, if some run is in both and nothing else is shared.
    let apart = |os: &[&Entry<'a>], ns: &[&Entry<'a>]| !os.iter().any(|p| ns.iter().any(|e| equal(p, e)));
    let without = |list: &'_ [Entry<'a>], at: usize, len: usize| -> Vec<usize> {
        (0..list.len()).filter(|i| *i < at || *i >= at + len).collect()
    };
    let explained = (0..o.len()).any(|from| {
        // Without o's newest: the run ends before it. Or all of o.
        (0..=o.len() - from).filter(|len| from + len < o.len() || from == 0).any(|len| {
            (0..=n.len()).any(|at| {
                let os: Vec<&Entry<'a>> = without(o, from, len).into_iter().map(|i| &o[i]).collect();
                let ns: Vec<&Entry<'a>> = without(n, at, len).into_iter().map(|i| &n[i]).collect();
                at + len <= n.len() && run(from, at, len) && apart(&os, &ns)
            })
        })
    });
    Some(stale_if(explained))
}
