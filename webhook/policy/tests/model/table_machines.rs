//! Several machines side by side, and witnesses within an entry: cases by hand.

pub(crate) const CASES: &str = r#"
# Machines are judged alone
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}], final: [B]}, {path: .status.q, initial: [C], transitions: [{from: [C], to: [D]}], final: [D]}]}
both begin | null | {p: A, q: C} | Allow
one goes on | {p: A, q: C} | {p: A, q: D} | Allow
one goes on, the other back | {p: A, q: D} | {p: B, q: C} | Stale PhaseRegression/S@status.q
both go back | {p: B, q: D} | {p: A, q: C} | Stale PhaseRegression/S@status.p PhaseRegression/S@status.q
stale and invalid | {p: B, q: C} | {p: A, q: 5} | Invalid PhaseRegression/S@status.p Malformed/I@status.q
a name of the other machine is unknown | {p: A} | {p: D} | Invalid PhaseUnknown/I@status.p
one broken, the other goes on | {p: Bogus, q: C} | {p: Bogus, q: D} | Allow
one broken, the other goes back | {p: Bogus, q: D} | {p: A, q: C} | Stale PhaseUnknown/W@status.p PhaseRegression/S@status.q

# Names speak of the machine that knows them, and no phase of the first
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}]}, {path: .status.q, initial: [C], transitions: [{from: [C], to: [D]}], final: [D], resets: {from: ['', B]}}], monotone: [{path: .status.n, resets: {to: [C]}}, {path: .status.m, resets: {from: [A, D]}}]}
the second begins again while the first has no phase | {q: D} | {q: C} | Allow
the second begins again where the first was B | {p: B, q: D} | {p: B, q: C} | Allow
not where it was A | {p: A, q: D} | {p: A, q: C} | Stale PhaseRegression/S@status.q
not where it becomes B | {p: A, q: D} | {p: B, q: C} | Stale PhaseRegression/S@status.q
no phase of the second is not that of the first | {p: A} | {p: A, q: D} | Stale PhaseRegression/S@status.q
to a phase of the second | {p: A, n: 2} | {p: A, q: C, n: 1} | Allow
to, though it stays | {p: A, q: C, n: 2} | {p: A, q: C, n: 1} | Allow
to, not | {p: A, q: C, n: 2} | {p: A, q: D, n: 1} | Stale CounterRegression/S@status.n
from either | {p: A, q: C, m: 2} | {p: A, q: C, m: 1} | Allow
from the other | {p: B, q: D, m: 2} | {p: B, q: D, m: 1} | Allow
from neither | {p: B, q: C, m: 2} | {p: B, q: C, m: 1} | Stale CounterRegression/S@status.m

# A field that phases of two machines require
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}]}, {path: .status.q, initial: [C], transitions: [{from: [C], to: [D]}]}, {path: .status.r}], setOnce: [{path: .status.f, requiredIn: [B, D]}]}
set with the first | {p: A, q: C} | {p: B, q: C, f: x} | Allow
missing with the second | {p: A, q: C} | {p: A, q: D} | Invalid FieldMissing/I
missing before, the other machine goes on | {p: B, q: C} | {p: B, q: D} | Repair FieldMissing/W
missing, and a machine that is not named changes | {p: B, q: C} | {p: B, q: C, r: x} | Invalid PhaseUnknown/I@status.r
required by both, removed | {p: B, q: D, f: x} | {p: B, q: D} | Stale SetOnceChanged/S FieldMissing/I
a phase that requires it is left, another entered | {p: B, q: C} | {p: A, q: D} | Stale PhaseRegression/S@status.p FieldMissing/W

# Flags in conditions
policy {phases: [{path: .status.conditions, states: {Small: Shrink=True}, transitions: [{from: [Small], to: ['']}]}, {path: .status.conditions, states: {Moved: Move=True, Lost: Move=Unknown}, transitions: [{from: [Moved], to: [Lost]}], final: [Lost]}], collections: [{path: .status.nodes, resets: {to: [Small]}, each: {setOnce: [{path: .h, resets: {from: [Moved]}}]}}]}
both hold | {conditions: [{type: Shrink, status: 'True'}]} | {conditions: [{type: Shrink, status: 'True'}, {type: Move, status: 'True'}]} | Allow
one ends | {conditions: [{type: Shrink, status: 'True'}, {type: Move, status: 'True'}]} | {conditions: [{type: Move, status: 'True'}]} | Allow
one goes back | {conditions: [{type: Shrink, status: 'True'}, {type: Move, status: Unknown}]} | {conditions: [{type: Shrink, status: 'True'}, {type: Move, status: 'True'}]} | Stale PhaseRegression/S@status.conditions
an end is taken away | {conditions: [{type: Move, status: Unknown}]} | {conditions: []} | Stale PhaseRegression/S@status.conditions
a malformed list is malformed for both | null | {conditions: 5} | Invalid Malformed/I@status.conditions
nodes go while it shrinks | {nodes: {a: {h: 1}, b: {h: 2}}} | {nodes: {a: {h: 1}}, conditions: [{type: Shrink, status: 'True'}]} | Allow
nodes go while it does not | {nodes: {a: {h: 1}, b: {h: 2}}} | {nodes: {a: {h: 1}}, conditions: [{type: Move, status: 'True'}]} | Stale HistoryTruncated/S
the host changes while it moves | {nodes: {a: {h: 1}}, conditions: [{type: Move, status: 'True'}]} | {nodes: {a: {h: 9}}, conditions: [{type: Move, status: 'True'}]} | Allow
the host changes before it moves | {nodes: {a: {h: 1}}} | {nodes: {a: {h: 9}}, conditions: [{type: Move, status: 'True'}]} | Stale SetOnceChanged/S

# Machines in entries; names in resets are the root's
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}]}], collections: [{path: .status.l, key: [id], each: {phases: [{path: .p, initial: [A], transitions: [{from: [A], to: [B]}], final: [B], resets: {to: [A]}}, {path: .q, initial: [C], final: [C]}], setOnce: [{path: .f, requiredIn: [B, C]}]}}]}
the entry's own phase is not the root's | {p: B, l: [{id: a, p: B, f: 1}]} | {p: B, l: [{id: a, p: A, f: 1}]} | Stale PhaseRegression/S@status.l[0].p
the root's phase is | {p: A, l: [{id: a, p: B, f: 1}]} | {p: A, l: [{id: a, p: A, f: 1}]} | Allow
required by the second of the entry | {l: [{id: a}]} | {l: [{id: a, q: C}]} | Invalid FieldMissing/I

# within
policy {collections: [{path: .status.l, key: [id], order: Any, each: {monotone: [{path: .n}, {path: .m, resets: {within: [.n]}}], setOnce: [{path: .f, resets: {within: [.n, .w]}}]}}]}
the witness rises | {l: [{id: a, n: 1, m: 5, f: x}]} | {l: [{id: a, n: 2, m: 0, f: y}]} | Allow
it stays | {l: [{id: a, n: 1, m: 5, f: x}]} | {l: [{id: a, n: 1, m: 0, f: y}]} | Stale CounterRegression/S@status.l[0].m SetOnceChanged/S
it falls | {l: [{id: a, n: 2, m: 5}]} | {l: [{id: a, n: 1, m: 0}]} | Stale CounterRegression/S
that of another entry rises | {l: [{id: a, n: 1, m: 5}, {id: b, n: 1}]} | {l: [{id: a, n: 1, m: 4}, {id: b, n: 2}]} | Stale CounterRegression/S@status.l[0].m
pairs are found by identity | {l: [{id: a, n: 1, m: 5}, {id: b, n: 9}]} | {l: [{id: b, n: 9}, {id: a, n: 2, m: 4}]} | Allow
any of several | {l: [{id: a, n: 1, f: x}]} | {l: [{id: a, n: 1, w: 1, f: y}]} | Allow
a new entry has nothing to compare with | {l: []} | {l: [{id: a, n: 1, m: 5, f: x}]} | Allow
the same path at the root is not it | {n: 1, l: [{id: a, m: 5}]} | {n: 2, l: [{id: a, m: 4}]} | Stale CounterRegression/S

policy {collections: [{path: .status.l, key: [id], each: {collections: [{path: .m, resets: {within: [.n]}, each: {setOnce: [{path: .f, resets: {within: [.n]}}]}}]}}]}
the entry around allows replacement, not other content | {l: [{id: a, n: 1, m: {x: {f: 1}, y: {f: 2}}}]} | {l: [{id: a, n: 2, m: {x: {f: 9}}}]} | Stale SetOnceChanged/S
the inner entry's own witness | {l: [{id: a, n: 1, m: {x: {f: 1, n: 1}}}]} | {l: [{id: a, n: 1, m: {x: {f: 9, n: 2}}}]} | Allow
an inner entry goes | {l: [{id: a, n: 1, m: {x: {f: 1}}}]} | {l: [{id: a, n: 1, m: {}}]} | Stale HistoryTruncated/S

policy {collections: [{path: .status.m, each: {phases: [{path: .p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}], final: [C], resets: {within: [.n]}}], setOnce: [{path: .f, requiredIn: [B], resets: {within: [.n]}}], equal: [{left: [len(.log)], right: [.n]}]}}]}
an entry begins again | {m: {x: {p: C}}} | {m: {x: {p: A, n: 1, log: [a]}}} | Allow
a step that only a restart explains | {m: {x: {p: A}}} | {m: {x: {p: C}}} | Stale PhaseRegression/S
required, but it may have been cleared | {m: {x: {p: A}}} | {m: {x: {p: B}}} | Stale FieldMissing/S

# An entry is its own witness
policy {collections: [{path: .status.c, key: [id], each: {monotone: [{path: ., resets: {within: [.]}}]}}]}
malformed all the same | {c: [{id: 1}]} | {c: [{id: 1, x: 2}]} | Repair Malformed/W
"#;
