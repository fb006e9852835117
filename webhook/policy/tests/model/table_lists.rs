//! Cases for R8, decided by hand from the text of the language.

pub(crate) const CASES: &str = r#"
# Append, keep All, no key, frozen
policy {collections: [{path: .status.log}]}
appended | {log: [a]} | {log: [a, b]} | Allow
first | null | {log: [a, a]} | Allow
truncated | {log: [a, b]} | {log: [a]} | Stale HistoryTruncated/S
all gone | {log: [a]} | {x: 1} | Stale HistoryTruncated/S@status.log
status null | {log: [a]} | null | Stale HistoryTruncated/S
unset in another way | {log: [a]} | {log: false} | Stale HistoryTruncated/S
another last one | {log: [a, b]} | {log: [a, c]} | Stale HistoryTruncated/S
older base, two new | {log: [a, b]} | {log: [a, c, d]} | Stale HistoryTruncated/S
inserted | {log: [a, b]} | {log: [a, c, b]} | Invalid HistoryRewritten/I
removed inside | {log: [a, b, c]} | {log: [a, c]} | Invalid HistoryTruncated/I
prepended | {log: [a, b]} | {log: [c, a, b]} | Invalid HistoryRewritten/I
swapped | {log: [a, b]} | {log: [b, a]} | Invalid HistoryRewritten/I
other list altogether | {log: [a, b]} | {log: [x, y]} | Stale HistoryTruncated/S
list elements are never dropped | {log: [a]} | {log: [a, null]} | Allow
a null entry gone | {log: [a, null]} | {log: [a]} | Stale HistoryTruncated/S
unset entries are alike | {log: [null]} | {log: ['', b]} | Allow
frozen objects by union | {log: [{id: a}]} | {log: [{id: a, x: ''}, b]} | Allow
frozen content changed | {log: [{id: a}]} | {log: [{id: a, x: 1}]} | Stale HistoryTruncated/S
a number by value | {log: [1]} | {log: [1.0, 2]} | Allow
digits differ from the number | {log: [1]} | {log: ['1']} | Stale HistoryTruncated/S
a fraction rewritten | {log: [2024-01-01T00:00:00.1Z]} | {log: [2024-01-01T00:00:00.2Z]} | Stale HistoryRewritten/S
a fraction rewritten before another | {log: [2024-01-01T00:00:00.1Z, b]} | {log: [2024-01-01T00:00:00.2Z, b]} | Invalid HistoryRewritten/I
neither list nor map | {log: [a]} | {log: abc} | Invalid Malformed/I@status.log
a number | null | {log: 5} | Invalid Malformed/I
malformed before | {log: abc} | {log: [a]} | Repair Malformed/W@status.log
malformed before and after | {log: abc} | {log: 5} | Repair Malformed/W
malformed to unset | {log: abc} | null | Repair Malformed/W
list to map | {log: [a]} | {log: {a: 1}} | Stale Malformed/S
map to list | {log: {a: 1}} | {log: [a]} | Stale Malformed/S
list to a map of unset is empty | {log: [a]} | {log: {a: 0}} | Stale HistoryTruncated/S
unset map to list | {log: {a: 0}} | {log: [a]} | Allow

# Append, keep All, key, frozen
policy {collections: [{path: .status.log, key: [id]}]}
appended | {log: [{id: a}]} | {log: [{id: a}, {id: b}]} | Allow
content changed | {log: [{id: a, x: 1}]} | {log: [{id: a, x: 2}]} | Stale HistoryRewritten/S
content changed before another | {log: [{id: a, x: 1}, {id: b}]} | {log: [{id: a, x: 2}, {id: b}]} | Invalid HistoryRewritten/I
content changed and appended | {log: [{id: a, x: 1}]} | {log: [{id: a, x: 2}, {id: c}]} | Stale HistoryRewritten/S
truncated | {log: [{id: a}, {id: b}]} | {log: [{id: a}]} | Stale HistoryTruncated/S
removed inside | {log: [{id: a}, {id: b}]} | {log: [{id: b}]} | Invalid HistoryTruncated/I
duplicate of an old one | {log: [{id: a}]} | {log: [{id: a}, {id: a, x: 1}]} | Stale HistoryDuplicate/S
duplicate of a new one | {log: [{id: a}]} | {log: [{id: a}, {id: b}, {id: b}]} | Invalid HistoryDuplicate/I
two more of an old one | {log: [{id: a}]} | {log: [{id: a}, {id: a}, {id: a}]} | Invalid HistoryDuplicate/I
duplicates at first | null | {log: [{id: a}, {id: a}]} | Invalid HistoryDuplicate/I
duplicates stay | {log: [{id: a}, {id: a}]} | {log: [{id: a}, {id: a}, {id: b}]} | Repair HistoryDuplicate/W
one more of several | {log: [{id: a}, {id: a}]} | {log: [{id: a}, {id: a}, {id: a}]} | Stale HistoryDuplicate/S
a surplus copy went | {log: [{id: a}, {id: a}]} | {log: [{id: a}]} | Repair HistoryDuplicate/W
the last copy is the surplus | {log: [{id: a, x: 1}, {id: a, x: 2}]} | {log: [{id: a, x: 1}]} | Repair HistoryDuplicate/W
the first copy is not | {log: [{id: a, x: 1}, {id: a, x: 2}]} | {log: [{id: a, x: 2}]} | Stale HistoryRewritten/S HistoryDuplicate/W
a surplus copy in the middle went | {log: [{id: a}, {id: a}, {id: b}]} | {log: [{id: a}, {id: b}, {id: c}]} | Repair HistoryDuplicate/W
all copies went | {log: [{id: a}, {id: a}]} | null | Stale HistoryTruncated/S HistoryDuplicate/W
one of three went | {log: [{id: a}, {id: a}, {id: a}]} | {log: [{id: a}, {id: a}]} | Repair HistoryDuplicate/W
a missing part is unset | {log: [{x: 1}]} | {log: [{x: 1}, {id: null, y: 2}]} | Stale HistoryDuplicate/S
an item that is not an object has no parts | {log: [abc]} | {log: [abc, 5]} | Stale HistoryDuplicate/S
an item that is not an object against an unset part | null | {log: [abc, {id: ''}]} | Invalid HistoryDuplicate/I
key numbers by value | {log: [{id: 1}]} | {log: [{id: 1.0}, {id: '1'}]} | Allow
key digits are strings | {log: [{id: '1'}]} | {log: [{id: '1'}, {id: '01'}]} | Allow
key times are cut | {log: [{id: 2024-01-01T00:00:00.1Z}]} | {log: [{id: 2024-01-01T00:00:00.1Z}, {id: 2024-01-01T01:00:00.9+01:00}]} | Stale HistoryDuplicate/S
a map has no duplicates | {log: {x: {id: a}}} | {log: {x: {id: a}, y: {id: a}}} | Allow

policy {collections: [{path: .status.log, key: [channel, attempt]}]}
two parts | {log: [{channel: a, attempt: 1}]} | {log: [{channel: a, attempt: 1}, {channel: a, attempt: 2}, {channel: b, attempt: 1}]} | Allow
both parts the same | {log: [{channel: a, attempt: 1}]} | {log: [{channel: a, attempt: 1}, {channel: a, attempt: 1}]} | Stale HistoryDuplicate/S

# each frees content
policy {collections: [{path: .status.log, key: [id], each: {}}]}
content is free | {log: [{id: a, x: 1}, {id: b}]} | {log: [{id: a, x: 2}, {id: b}]} | Allow
order is not | {log: [{id: a}, {id: b}]} | {log: [{id: b}, {id: a}]} | Invalid HistoryRewritten/I

policy {collections: [{path: .status.log, each: {}}]}
the entry is its own identity | {log: [{id: a}]} | {log: [{id: b}]} | Stale HistoryTruncated/S
but for fractions | {log: [{t: 2024-01-01T00:00:00.1Z}]} | {log: [{t: 2024-01-01T00:00:00.2Z}]} | Allow

# each is judged
policy {collections: [{path: .status.log, key: [id], each: {phases: [{path: .p, initial: [New], transitions: [{from: [New], to: [Ok, Bad]}], final: [Ok, Bad]}], monotone: [{path: .n}], setOnce: [{path: .f, requiredIn: [Ok]}]}}]}
a new entry | {log: [{id: a, p: Ok, f: 1}]} | {log: [{id: a, p: Ok, f: 1}, {id: b, p: New}]} | Allow
a new entry skips | null | {log: [{id: a, p: Ok, f: 1}]} | Invalid PhaseSkipped/I@status.log[0].p
an edge | {log: [{id: a, p: New}]} | {log: [{id: a, p: Bad}]} | Allow
back | {log: [{id: z}, {id: a, p: Bad}]} | {log: [{id: z}, {id: a, p: New}]} | Stale PhaseRegression/S@status.log[1].p
falls | {log: [{id: a, n: 2}]} | {log: [{id: a, n: 1}]} | Stale CounterRegression/S@status.log[0].n
required | {log: [{id: a, p: New}]} | {log: [{id: a, p: Ok}]} | Invalid FieldMissing/I@status.log[0].f
changed | {log: [{id: a, p: Ok, f: 1}]} | {log: [{id: a, p: Ok, f: 2}]} | Stale SetOnceChanged/S@status.log[0].f
unknown in an entry | {log: [{id: a, p: New}]} | {log: [{id: a, p: Odd}]} | Invalid PhaseUnknown/I
a broken entry does not block others | {log: [{id: a, p: Odd}, {id: b, p: New}]} | {log: [{id: a, p: Odd}, {id: b, p: Bad}]} | Allow
a broken entry is mended | {log: [{id: a, p: Odd}]} | {log: [{id: a, p: New}]} | Repair PhaseUnknown/W@status.log[0].p
the second copy pairs with the second | {log: [{id: a, n: 1}, {id: a, n: 5}]} | {log: [{id: a, n: 1}, {id: a, n: 4}]} | Stale CounterRegression/S@status.log[1].n HistoryDuplicate/W
each beside order | {log: [{id: a, n: 1}, {id: b, n: 5}]} | {log: [{id: b, n: 4}, {id: a, n: 1}]} | Invalid HistoryRewritten/I CounterRegression/S@status.log[0].n
a malformed collection ends it | {log: [{id: a, p: Bad}]} | {log: {a: {p: Odd}}} | Stale Malformed/S

policy {collections: [{path: .status.m, each: {phases: [{path: .p, initial: [New], transitions: [{from: [New], to: [Ok]}]}], collections: [{path: .log}]}}]}
map entries | {m: {a: {p: New}}} | {m: {a: {p: Ok}, b: {p: New}}} | Allow
map entry back | {m: {a: {p: Ok}}} | {m: {a: {p: New}}} | Stale PhaseRegression/S@status.m["a"].p
map entry skips | {m: {a: {p: New}}} | {m: {a: {p: New}, 'b.c/d': {p: Ok}}} | Invalid PhaseSkipped/I@status.m["b.c/d"].p
map entry gone | {m: {a: {p: Ok}, b: {p: New}}} | {m: {b: {p: New}}} | Stale HistoryTruncated/S
map entry unset is gone | {m: {a: {p: Ok}}} | {m: {a: {p: ''}, b: {p: New}}} | Stale HistoryTruncated/S
an unset map entry is none | {m: {a: {p: New}, b: null}} | {m: {a: {p: Ok}}} | Allow
nested history | {m: {a: {p: New, log: [x, y]}}} | {m: {a: {p: New, log: [x]}}} | Stale HistoryTruncated/S
nested history rewritten | {m: {a: {p: New, log: [x, y]}}} | {m: {a: {p: New, log: [y, x]}}} | Invalid HistoryRewritten/I
an entry that is not an object | {m: {a: 5}} | {m: {a: 6}} | Allow
items as lists have the order of the rule | {m: [{p: New}]} | {m: [{p: Ok}]} | Invalid PhaseSkipped/I HistoryTruncated/S

# "." is the item
policy {collections: [{path: .status.m, each: {monotone: [{path: ., atMost: .metadata.generation}], setOnce: [{path: .}]}}]}
set and never again | @9 {m: {a: 1}} | @9 {m: {a: 1, b: 2}} | Allow
both rules on one item | @9 {m: {a: 3}} | @9 {m: {a: 2}} | Stale CounterRegression/S@status.m["a"] SetOnceChanged/S@status.m["a"]
the bound is the object's | @9 {m: {}} | @9 {m: {a: 10}} | Invalid AboveBound/I@status.m["a"]

policy {collections: [{path: .status.l, order: Any, each: {collections: [{path: ., order: Any}]}}]}
lists of lists | {l: [[a], [b]]} | {l: [[b], [a], [c]]} | Allow

# resets inside each look at the whole object
policy {phases: [{path: .status.p, transitions: [{from: [A], to: [B]}, {from: [B], to: [A]}]}], collections: [{path: .status.m, each: {monotone: [{path: .n, resets: {to: [A], with: [.status.w]}}]}}]}
root phase | {p: B, m: {a: {n: 2}}} | {p: A, m: {a: {n: 1}}} | Allow
root witness | {p: B, w: 1, m: {a: {n: 2}}} | {p: B, w: 2, m: {a: {n: 1}}} | Allow
the entry's own fields are none | {p: B, m: {a: {n: 2, p: B}}} | {p: B, m: {a: {n: 1, p: A}}} | Stale CounterRegression/S

# Prepend
policy {collections: [{path: .status.log, key: [id], order: Prepend, each: {monotone: [{path: .n}]}}]}
prepended | {log: [{id: a}]} | {log: [{id: b}, {id: a}]} | Allow
appended | {log: [{id: a}]} | {log: [{id: a}, {id: b}]} | Invalid HistoryRewritten/I
older base | {log: [{id: b}, {id: a}]} | {log: [{id: c}, {id: a}]} | Stale HistoryTruncated/S
index in the new list | {log: [{id: a, n: 2}]} | {log: [{id: b}, {id: a, n: 1}]} | Stale CounterRegression/S@status.log[1].n
copies pair from the end | {log: [{id: a, n: 9}, {id: a, n: 1}]} | {log: [{id: b}, {id: a, n: 9}, {id: a, n: 1}]} | Repair HistoryDuplicate/W
the surplus is the first as written | {log: [{id: a, n: 9}, {id: a, n: 1}]} | {log: [{id: a, n: 1}]} | Repair HistoryDuplicate/W

# Any
policy {collections: [{path: .status.log, key: [id], order: Any}]}
order is free | {log: [{id: a}, {id: b}]} | {log: [{id: c}, {id: b}, {id: a}]} | Allow
went | {log: [{id: a}, {id: b}]} | {log: [{id: c}, {id: b}]} | Stale HistoryTruncated/S
rewritten | {log: [{id: a, x: 1}]} | {log: [{id: a, x: 2}]} | Stale HistoryRewritten/S
both | {log: [{id: a, x: 1}, {id: b}]} | {log: [{id: a, x: 2}]} | Stale HistoryRewritten/S HistoryTruncated/S
duplicates | {log: [{id: a}]} | {log: [{id: a}, {id: a}]} | Stale HistoryDuplicate/S

policy {collections: [{path: .status.log, order: Any}]}
a set | {log: [a, b]} | {log: [b, c, a]} | Allow
one copy went | {log: [a, a, b]} | {log: [b, a, c]} | Stale HistoryTruncated/S
copies without key are not duplicates | {log: [a]} | {log: [a, a, a]} | Allow
a fraction rewritten | {log: [{t: 2024-01-01T00:00:00.1Z}]} | {log: [{t: 2024-01-01T00:00:00.2Z}]} | Stale HistoryRewritten/S
map keys | {log: {a: 1}} | {log: {a: 1, b: 2}} | Allow
map frozen content | {log: {a: {x: 1}}} | {log: {a: {x: 2}}} | Stale HistoryRewritten/S
map and list | {log: {a: 1}} | {log: [a]} | Stale Malformed/S

# keep: 0
policy {collections: [{path: .status.log, key: [id], keep: 0}]}
may go | {log: [{id: a}, {id: b}]} | {log: [{id: b}]} | Allow
all may go | {log: [{id: a}, {id: b}]} | null | Allow
order is free | {log: [{id: a}, {id: b}]} | {log: [{id: b}, {id: a}]} | Allow
frozen while there | {log: [{id: a, x: 1}, {id: b}]} | {log: [{id: a, x: 2}]} | Stale HistoryRewritten/S
duplicates | {log: [{id: a}]} | {log: [{id: b}, {id: b}]} | Invalid HistoryDuplicate/I
list to map is stale | {log: [{id: a}]} | {log: {a: 1}} | Stale Malformed/S
map entries may go | {log: {a: 1, b: 2}} | {log: {b: 2}} | Allow
map entries are frozen | {log: {a: 1, b: 2}} | {log: {b: 3}} | Stale HistoryRewritten/S
malformed all the same | {log: [{id: a}]} | {log: abc} | Invalid Malformed/I

policy {collections: [{path: .status.pods, key: [id], keep: 0, each: {phases: [{path: .p, initial: [New], transitions: [{from: [New], to: [Ok]}]}]}}]}
an entry that went comes back as a new one | null | {pods: [{id: a, p: Ok}]} | Stale PhaseRegression/S

# keep: N
policy {collections: [{path: .status.log, keep: 2}]}
appended | {log: [a, b]} | {log: [a, b, c]} | Allow
slid by one | {log: [a, b]} | {log: [b, c]} | Allow
slid to the newest | {log: [a, b, c]} | {log: [c, d]} | Allow
cut to N | {log: [a, b, c]} | {log: [b, c]} | Allow
cut below N | {log: [a, b, c]} | {log: [c]} | Invalid HistoryTruncated/I
first | null | {log: [a]} | Allow
fewer than N but nothing went | {log: [a]} | {log: [a]} | Allow
older base, appended | {log: [a, b]} | {log: [a, c]} | Stale HistoryTruncated/S
older base, just truncated | {log: [a, b]} | {log: [a]} | Stale HistoryTruncated/S
older base slid | {log: [b, c, d]} | {log: [b, x]} | Stale HistoryTruncated/S
nothing shared | {log: [a, b]} | {log: [x, y]} | Stale HistoryTruncated/S
all gone | {log: [a, b]} | null | Stale HistoryTruncated/S
older base with what went before | {log: [b, c]} | {log: [a, b, x]} | Stale HistoryTruncated/S
the newest seen, an older one missing inside | {log: [a, b, c]} | {log: [a, c, d]} | Invalid HistoryTruncated/I
the newest seen, prepended | {log: [a, b]} | {log: [x, a, b]} | Stale HistoryRewritten/S
shared in two runs | {log: [a, b, c, d]} | {log: [a, c, x]} | Invalid HistoryTruncated/I
shared in another order | {log: [a, b, c]} | {log: [b, a, x]} | Invalid HistoryTruncated/I
an entry before the end comes back | {log: [a, b]} | {log: [b, a]} | Invalid HistoryRewritten/I
one copy of the newest is an older state | {log: [a, a]} | {log: [a]} | Stale HistoryTruncated/S
copies, older base | {log: [a, a, b]} | {log: [a, c]} | Stale HistoryTruncated/S
copies slide | {log: [a, b, a]} | {log: [a, c]} | Allow
copies, just truncated | {log: [a, b, a]} | {log: [a, b]} | Stale HistoryTruncated/S
an older list over a trimmed one | {log: [b]} | {log: [a, b]} | Stale HistoryRewritten/S

policy {collections: [{path: .status.log, key: [id], keep: 2, each: {monotone: [{path: .n}]}}]}
slid, content free | {log: [{id: a}, {id: b, n: 1}]} | {log: [{id: b, n: 2}, {id: c}]} | Allow
an identity before the end comes back | {log: [{id: a, n: 1}, {id: b}]} | {log: [{id: b}, {id: a, n: 2}]} | Invalid HistoryRewritten/I
older base with falling content | {log: [{id: a, n: 2}, {id: b}]} | {log: [{id: a, n: 1}, {id: c}]} | Stale HistoryTruncated/S CounterRegression/S@status.log[0].n
keep on a map holds all | {log: {a: 1, b: 1, c: 1}} | {log: {b: 1, c: 1}} | Stale HistoryTruncated/S

policy {collections: [{path: .status.log, key: [id], keep: 1}]}
frozen, the identity before the end with other content | {log: [{id: a, x: 1}, {id: b}]} | {log: [{id: b}, {id: a, x: 2}]} | Invalid HistoryRewritten/I
frozen, the newest rewritten | {log: [{id: a}, {id: b, x: 1}]} | {log: [{id: a}, {id: b, x: 2}]} | Stale HistoryRewritten/S
surplus went, the rest slides | {log: [{id: a}, {id: b}, {id: a}]} | {log: [{id: b}, {id: c}]} | Repair HistoryDuplicate/W

policy {collections: [{path: .status.log, order: Prepend, keep: 2}]}
slid | {log: [b, a]} | {log: [c, b]} | Allow
older base | {log: [b, a]} | {log: [c, a]} | Stale HistoryTruncated/S
cut below N | {log: [c, b, a]} | {log: [c]} | Invalid HistoryTruncated/I

# R4 on collections
policy {phases: [{path: .status.p, transitions: [{from: [A], to: [B]}, {from: [B], to: [A]}]}], collections: [{path: .status.log, key: [id], resets: {to: [A]}, each: {monotone: [{path: .n}]}}]}
reset | {p: B, log: [{id: a}, {id: b}]} | {p: A, log: [{id: c}]} | Allow
reset, cleared | {p: B, log: [{id: a}]} | {p: A} | Allow
no reset | {p: A, log: [{id: a}]} | {p: B} | Stale HistoryTruncated/S
with resets always stale | {p: A, log: [{id: a}, {id: b}]} | {p: B, log: [{id: b}]} | Stale HistoryTruncated/S
reset keeps duplicates | {p: B, log: [{id: a}]} | {p: A, log: [{id: b}, {id: b}]} | Invalid HistoryDuplicate/I
reset, a duplicate of an old one | {p: B, log: [{id: b}]} | {p: A, log: [{id: b}, {id: b}]} | Stale HistoryDuplicate/S
reset keeps each | {p: B, log: [{id: a, n: 2}]} | {p: A, log: [{id: a, n: 1}]} | Stale CounterRegression/S@status.log[0].n
reset keeps the waiver for copies | {p: B, log: [{id: a}, {id: a}]} | {p: A, log: [{id: a}]} | Repair HistoryDuplicate/W
reset, list against map | {p: B, log: [{id: a}]} | {p: A, log: {a: {n: 1}}} | Stale Malformed/S
reset, malformed | {p: B, log: [{id: a}]} | {p: A, log: 5} | Invalid Malformed/I
reset, malformed before | {p: B, log: 5} | {p: A, log: [{id: a}]} | Repair Malformed/W

# equal inside each
policy {collections: [{path: .status.m, each: {equal: [{left: [len(.log)], right: [.n]}]}}]}
holds | {m: {a: {log: [x], n: 1}}} | {m: {a: {log: [x, y], n: 2}}} | Allow
mismatch | {m: {a: {log: [x], n: 1}}} | {m: {a: {log: [x, y], n: 1}}} | Stale CountMismatch/S
mismatch in a new entry | {m: {a: {n: 0, z: 1}}} | {m: {a: {n: 0, z: 1}, b: {n: 1}}} | Stale CountMismatch/S
"#;
