//! Cases for R6, R7 and R9, and for what they read, decided by hand from the text of the language.

pub(crate) const CASES: &str = r#"
# R6: monotone
policy {monotone: [{path: .status.n}]}
rises | {n: 1} | {n: 2} | Allow
first | null | {n: 5} | Allow
falls | {n: 3} | {n: 2} | Stale CounterRegression/S@status.n
to unset | {n: 3} | {x: 1} | Stale CounterRegression/S
to zero | {n: 3} | {n: 0} | Stale CounterRegression/S
status null | {n: 3} | null | Stale CounterRegression/S
unchanged by value | {n: 1} | {n: 1.0, x: 1} | Allow
unchanged by exponent | {n: 100} | {n: 1e2, x: 1} | Allow
negative first | null | {n: -1} | Stale CounterRegression/S
negative rises to unset | {n: -5} | {x: 1} | Allow
negative rises | {n: -5} | {n: -4} | Allow
negative falls | {n: -4} | {n: -5} | Stale CounterRegression/S
digits rise | {n: '9'} | {n: '10'} | Allow
digits fall | {n: '10'} | {n: '9'} | Stale CounterRegression/S
digits and number | {n: '7'} | {n: 7} | Allow
leading zeros | {n: '7'} | {n: '007'} | Allow
number to fewer digits | {n: 8} | {n: '07'} | Stale CounterRegression/S
digits zero to unset | {n: '0'} | {x: 1} | Allow
long digits | {n: '123456789012345678901234567890'} | {n: '123456789012345678901234567889'} | Stale CounterRegression/S
numbers beyond doubles | {n: 9007199254740993} | {n: 9007199254740992} | Stale CounterRegression/S
numbers beyond doubles rise | {n: 9007199254740992} | {n: 9007199254740993} | Allow
beyond 64 bits | {n: 18446744073709551617} | {n: 18446744073709551616} | Stale CounterRegression/S
fractions | {n: 0.1} | {n: 0.10000000000000000000000001} | Allow
fractions fall | {n: 0.10000000000000000000000001} | {n: 0.1} | Stale CounterRegression/S
a large exponent | {n: 1e300} | {n: 1e299} | Stale CounterRegression/S
a small exponent | {n: 1e-300} | {n: 1e-301} | Stale CounterRegression/S
times rise | {n: 2024-02-29T23:59:59Z} | {n: 2024-03-01T00:00:00Z} | Allow
times fall | {n: 2024-03-01T00:00:00Z} | {n: 2024-02-29T23:59:59Z} | Stale CounterRegression/S
one instant in two zones | {n: 2024-01-01T00:00:00Z} | {n: 2023-12-31T22:30:00-01:30, x: 1} | Allow
fractions are cut | {n: 2024-01-01T00:00:00.9Z} | {n: 2024-01-01T00:00:00.1Z} | Allow
first time | null | {n: 0001-01-01T00:00:00Z} | Allow
time to unset | {n: 0001-01-01T00:00:00Z} | null | Stale CounterRegression/S
number against time | {n: 1} | {n: 2024-01-01T00:00:00Z} | Stale Malformed/S@status.n
time against digits | {n: 2024-01-01T00:00:00Z} | {n: '9'} | Stale Malformed/S
digits zero against time | {n: '0'} | {n: 2024-01-01T00:00:00Z} | Stale Malformed/S
zero before a time | {n: 0} | {n: 2024-01-01T00:00:00Z} | Allow
a word | {n: 1} | {n: abc} | Invalid Malformed/I
a signed string | {n: 1} | {n: '-2'} | Invalid Malformed/I
a string with a point | {n: 1} | {n: '2.0'} | Invalid Malformed/I
true | {n: 1} | {n: true} | Invalid Malformed/I
a list | {n: 1} | {n: [2]} | Invalid Malformed/I
an object | {n: 1} | {n: {a: 1}} | Invalid Malformed/I
an object of unset is zero | {n: 1} | {n: {a: 0}} | Stale CounterRegression/S
malformed before | {n: abc} | {n: 1} | Repair Malformed/W@status.n
malformed before and after | {n: abc} | {n: xyz} | Repair Malformed/W
malformed to unset | {n: abc} | null | Repair Malformed/W
a lower-case t is not a time | {n: 1} | {n: 2024-01-01t00:00:00Z} | Invalid Malformed/I
a lower-case z is not a time | {n: 1} | {n: 2024-01-01T00:00:00z} | Invalid Malformed/I
year 0000 is not a time | null | {n: 0000-01-01T00:00:00Z} | Invalid Malformed/I
29 February needs its year | null | {n: 2023-02-29T00:00:00Z} | Invalid Malformed/I
29 February 1900 | null | {n: 1900-02-29T00:00:00Z} | Invalid Malformed/I
29 February 2000 | null | {n: 2000-02-29T00:00:00Z} | Allow
month 13 | null | {n: 2023-13-01T00:00:00Z} | Invalid Malformed/I
hour 24 | null | {n: 2023-01-01T24:00:00Z} | Invalid Malformed/I
second 60 | null | {n: 2023-01-01T23:59:60Z} | Invalid Malformed/I
offset 24:00 | null | {n: 2023-01-01T00:00:00+24:00} | Invalid Malformed/I
offset 23:59 | null | {n: 2023-01-01T00:00:00-23:59} | Allow
offset with minute 60 | null | {n: 2023-01-01T00:00:00-01:60} | Invalid Malformed/I
an empty fraction | null | {n: 2023-01-01T00:00:00.Z} | Invalid Malformed/I
a fraction by comma | null | {n: '2023-01-01T00:00:00,5Z'} | Invalid Malformed/I
no zone | null | {n: 2023-01-01T00:00:00} | Invalid Malformed/I
a blank for T | null | {n: '2023-01-01 00:00:00Z'} | Invalid Malformed/I

policy {monotone: [{path: .status.n, toZero: true}]}
to zero | {n: 3} | {n: 0} | Allow
to unset | {n: 3} | {x: 1} | Allow
to digits zero | {n: 3} | {n: '000'} | Allow
time to unset | {n: 2024-01-01T00:00:00Z} | {n: ''} | Allow
falls | {n: 3} | {n: 1} | Stale CounterRegression/S
number against time is stale | {n: 3} | {n: 2024-01-01T00:00:00Z} | Stale Malformed/S
time against digits zero is stale | {n: 2024-01-01T00:00:00Z} | {n: '0'} | Stale Malformed/S
below zero | null | {n: -1} | Stale CounterRegression/S

policy {monotone: [{path: .status.n, atMost: .metadata.generation}]}
at the bound | @3 {n: 2} | @3 {n: 3} | Allow
above | @3 {n: 2} | @3 {n: 4} | Invalid AboveBound/I@status.n
above by a fraction | @3 {n: 2} | @3 {n: 3.000000000000000000001} | Invalid AboveBound/I
no generation is 0 | {n: 0} | {n: 1} | Invalid AboveBound/I
a time is above | @3 null | @3 {n: 2024-01-01T00:00:00Z} | Invalid AboveBound/I
above and falling | @3 {n: 3} | @1 {n: 2} | Invalid AboveBound/I
was above, less now | @3 {n: 9} | @3 {n: 8} | Repair AboveBound/W@status.n
was above, more now | @3 {n: 8} | @3 {n: 9} | Invalid AboveBound/I
was above, now below | @3 {n: 9} | @3 {n: 2} | Repair AboveBound/W
was above, now unset | @3 {n: 9} | @3 null | Repair AboveBound/W
was above its own bound only | @3 {n: 5} | @5 {n: 4} | Repair AboveBound/W
was above, rises to the new bound | @3 {n: 5} | @6 {n: 6} | Allow
unchanged above | @3 {n: 9} | @3 {n: 9, x: 1} | Allow
falls below the bound | @3 {n: 3} | @3 {n: 2} | Stale CounterRegression/S
malformed before is waived before the bound | @3 {n: abc} | @3 {n: 9} | Repair Malformed/W
a time was above | @3 {n: 2024-01-01T00:00:01Z} | @3 {n: 2024-01-01T00:00:00Z} | Repair AboveBound/W
a time was above, to unset | @3 {n: 2024-01-01T00:00:01Z} | @3 {n: 0} | Repair AboveBound/W
a time was above, to a number | @3 {n: 2024-01-01T00:00:01Z} | @3 {n: 1} | Stale Malformed/S
digits are not a number for generation | @'3' {n: 0} | @'3' {n: 2} | Invalid AboveBound/I
no number for generation | @many {n: 0} | @many {n: 1} | Invalid AboveBound/I

policy {monotone: [{path: .status.n, atMost: .metadata.generation, toZero: true}]}
was above, to zero holds | @3 {n: 9} | @3 {n: 0} | Allow

policy {phases: [{path: .status.p, transitions: [{from: [A], to: [B]}, {from: [B], to: [A]}]}], monotone: [{path: .status.n, atMost: .metadata.generation, resets: {from: [B], with: [.status.w]}}, {path: .status.t, resets: {to: ['', A]}}]}
reset by witness | @9 {n: 5, w: 1} | @9 {n: 2, w: 2} | Allow
no reset | @9 {n: 5, w: 1} | @9 {n: 2, w: 1} | Stale CounterRegression/S
reset by old phase | @9 {n: 5, p: B} | @9 {n: 2, p: A} | Allow
the old phase counts though it stays | @9 {n: 5, p: B} | @9 {n: 2, p: B} | Allow
reset keeps the bound | @9 {n: 5, p: B} | @9 {n: 10, p: B} | Invalid AboveBound/I
reset keeps malformed | @9 {n: 5, p: B} | @9 {n: abc, p: B} | Invalid Malformed/I
reset and malformed before | @9 {n: abc, p: B} | @9 {n: 1, p: B} | Repair Malformed/W
number to time by reset, without a bound | {t: 5, p: A} | {t: 2024-01-01T00:00:00Z, p: A} | Allow
number to time without reset is stale | {t: 5, p: A} | {t: 2024-01-01T00:00:00Z, p: B} | Stale Malformed/S
reset by the new phase unset | {t: 5} | {t: 3} | Allow
reset, a time above the bound | @9 {n: 5, p: B} | @9 {n: 2024-01-01T00:00:00Z, p: B} | Invalid AboveBound/I
the waiver of the bound stays | @9 {n: 20, p: B} | @9 {n: 15, p: B} | Repair AboveBound/W
an unknown phase names nothing | @9 {n: 5, p: X} | @9 {n: 2, p: X} | Stale CounterRegression/S

# R7: setOnce
policy {setOnce: [{path: .status.f}]}
set | null | {f: x} | Allow
unchanged | {f: x} | {f: x, g: 1} | Allow
changed | {f: x} | {f: y} | Stale SetOnceChanged/S@status.f
unset | {f: x} | {g: 1} | Stale SetOnceChanged/S
status null | {f: x} | null | Stale SetOnceChanged/S
digits are a string | {f: '1'} | {f: '01'} | Stale SetOnceChanged/S
digits and a number differ | {f: '1'} | {f: 1} | Stale SetOnceChanged/S
digits zero is set | {f: '0'} | {f: 1} | Stale SetOnceChanged/S
zero is unset | {f: 0} | {f: 1} | Allow
false is unset | {f: false} | {f: true} | Allow
true to false | {f: true} | {f: false} | Stale SetOnceChanged/S
numbers by value | {f: 10} | {f: 1e1, g: 1} | Allow
one instant | {f: 2024-01-01T00:00:00Z} | {f: 2024-01-01T01:00:00+01:00, g: 1} | Allow
a fraction where there was none | {f: 2024-01-01T00:00:00Z} | {f: 2024-01-01T00:00:00.7Z, g: 1} | Allow
another fraction | {f: 2024-01-01T00:00:00.6Z} | {f: 2024-01-01T00:00:00.7Z} | Stale SetOnceChanged/S
the same fraction | {f: 2024-01-01T00:00:00.6Z} | {f: 2024-01-01T00:00:00.60Z, g: 1} | Allow
a long fraction | {f: 2024-01-01T00:00:00.1234567891Z} | {f: 2024-01-01T00:00:00.1234567892Z} | Stale SetOnceChanged/S
another second | {f: 2024-01-01T00:00:00Z} | {f: 2024-01-01T00:00:01Z} | Stale SetOnceChanged/S
no time, a plain string | {f: 2024-01-01T00:00:00+24:00} | {f: 2024-01-02T00:00:00+00:00} | Stale SetOnceChanged/S
a new leaf | {f: {a: 1}} | {f: {a: 1, b: 2}} | Allow
a new leaf below | {f: {a: {b: 1}}} | {f: {a: {b: 1, c: 2}}} | Allow
a leaf changed | {f: {a: 1, b: 2}} | {f: {a: 1, b: 3}} | Stale SetOnceChanged/S
a leaf gone | {f: {a: 1, b: 2}} | {f: {a: 1}} | Stale SetOnceChanged/S
an unset leaf gone | {f: {a: 1, b: ''}} | {f: {a: 1, c: 3}} | Allow
an unset leaf set | {f: {a: 1, b: {}}} | {f: {a: 1, b: {x: 3}}} | Allow
an object becomes a string | {f: {a: 1}} | {f: abc} | Stale SetOnceChanged/S
a list is one leaf | {f: {a: [1]}} | {f: {a: [1, 2]}} | Stale SetOnceChanged/S
list elements are never dropped | {f: [1]} | {f: [1, null]} | Stale SetOnceChanged/S
list elements may be unset alike | {f: [1, null]} | {f: [1.0, {a: ''}], g: 1} | Allow
an empty list is unset | {f: []} | {f: [1]} | Allow
a list of null is set | {f: [null]} | {f: [1]} | Stale SetOnceChanged/S
objects in lists are whole | {f: [{a: 1}]} | {f: [{a: 1, b: 2}]} | Stale SetOnceChanged/S
objects in lists by union | {f: [{a: 1}]} | {f: [{a: 1, b: 0}], g: 1} | Allow

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [Done, Bad]}], final: [Done, Bad]}], setOnce: [{path: .status.f, requiredIn: [Done]}]}
there | {p: A} | {p: Done, f: x} | Allow
missing | {p: A} | {p: Done} | Invalid FieldMissing/I@status.f
not required in another | {p: A} | {p: Bad} | Allow
missing before | {p: Done} | {p: Done, f: '', x: 1} | Allow
cleared where required | {p: Done, f: x} | {p: Done} | Stale SetOnceChanged/S FieldMissing/I
missing stays missing with the phase | {p: Bad} | {p: Done} | Stale PhaseRegression/S FieldMissing/I
consequence alone is invalid | {p: A, f: ''} | {p: Done, f: 0} | Invalid FieldMissing/I
mended | {p: Done} | {p: Done, f: x} | Allow

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [Done, Dead]}, {from: [Done], to: [Dead]}], final: [Dead]}], setOnce: [{path: .status.f, requiredIn: [Done, Dead], resets: {with: [.status.w]}}]}
missing, but it may have been cleared | {p: A} | {p: Done} | Stale FieldMissing/S
waived from one to the other | {p: Done} | {p: Dead} | Repair FieldMissing/W@status.f
changed by reset | {p: A, f: x} | {p: Done, f: y, w: 1} | Allow
cleared by reset, still required | {p: A, f: x} | {p: Done, w: 1} | Stale FieldMissing/S
cleared by reset, not required | {p: A, f: x} | {p: A, w: 1} | Allow
changed, required and there | {p: A, f: x} | {p: Done, f: y} | Stale SetOnceChanged/S

# R9: equal
policy {collections: [{path: .status.log}], equal: [{left: [len(.status.log)], right: [.status.n]}]}
a list that is kept whole lags | {log: [a], n: 1} | {log: [a], n: 2} | Invalid CountMismatch/I
policy {collections: [{path: .status.log, keep: 1}], equal: [{left: [len(.status.log)], right: [.status.n]}]}
a list that may be trimmed lags | {log: [a], n: 1} | {log: [a], n: 2} | Stale CountMismatch/S
policy {collections: [{path: .status.m, order: Any, each: {collections: [{path: .log}], equal: [{left: [len(.log)], right: [.n]}]}}]}
a list of an entry that stays lags | {m: {a: {log: [x], n: 1}}} | {m: {a: {log: [x], n: 2}}} | Invalid CountMismatch/I
policy {collections: [{path: .status.m, keep: 0, each: {collections: [{path: .log}], equal: [{left: [len(.log)], right: [.n]}]}}]}
a list of an entry that may come back lags | {m: {a: {log: [x], n: 1}}} | {m: {a: {log: [x], n: 2}}} | Stale CountMismatch/S

policy {equal: [{left: [len(.status.log)], right: [.status.n]}]}
both rise | {log: [a], n: 1} | {log: [a, b], n: 2} | Allow
the count lags | {log: [a], n: 1} | {log: [a, b], n: 1} | Stale CountMismatch/S
the list lags | {log: [a], n: 1} | {log: [a], n: 2} | Stale CountMismatch/S
both gone | {log: [a], n: 1} | null | Allow
unchanged mismatch | {log: [a], n: 3} | {log: [b], n: 3} | Allow
gap smaller | {log: [a], n: 4} | {log: [a, b], n: 4} | Repair CountMismatch/W
gap as large | {log: [a], n: 4} | {log: [a, b], n: 5} | Repair CountMismatch/W
gap as large the other way | {log: [a, b], n: 1} | {log: [a, b], n: 3} | Repair CountMismatch/W
gap larger | {log: [a], n: 4} | {log: [a], n: 5} | Stale CountMismatch/S
gap larger, the count lags | {log: [a, b], n: 1} | {log: [a, b, c], n: 1} | Stale CountMismatch/S
mended | {log: [a], n: 4} | {log: [a], n: 1} | Allow
digits count | {log: [a], n: 1} | {log: [a, b], n: '02'} | Allow
a fraction counts | {log: [a], n: 1} | {log: [a], n: 1.0000000000000000000000000000001} | Stale CountMismatch/S
a time counts 0 | {log: [], n: 0} | {log: [], n: 2024-01-01T00:00:00Z} | Allow
a word counts 0 | {log: [a], n: 1} | {log: [], n: abc} | Allow
map values that are set | {log: {}, n: 0} | {log: {a: 1, b: 0, c: ''}, n: 1} | Allow
list items set or not | null | {log: [null, '', 0], n: 3} | Allow
the length of a string is 0 | null | {log: abc, n: 0} | Allow

policy {equal: [{left: [.status.total], right: [.status.ok, .status.bad, len(.status.rest)]}]}
a sum | {total: 3, ok: 1, bad: 1, rest: [x]} | {total: 5, ok: 2, bad: 2, rest: [y]} | Allow
exact sums | null | {total: 0.3, ok: 0.1, bad: 0.2} | Allow
sums beyond doubles | null | {total: 9007199254740993, ok: 9007199254740992} | Stale CountMismatch/S
negative terms | null | {total: 1, ok: 3, bad: -2} | Allow
left smaller | null | {total: 1, ok: 2} | Stale CountMismatch/S
right smaller | null | {total: 2, ok: 1} | Stale CountMismatch/S
moved between terms | {total: 2, ok: 2} | {total: 2, ok: 1, bad: 1} | Allow

policy {equal: [{left: [len(.status.a)], right: [len(.status.b)]}]}
no plain number | null | {a: [1]} | Stale CountMismatch/S

# R10
policy {monotone: [{path: .status.n}, {path: .status.m}], equal: [{left: [.status.n], right: [len(.status.log)]}]}
a consequence does not make it invalid | {n: 2, m: 1, log: [a, b]} | {n: 2, m: 0, log: [a]} | Stale CounterRegression/S CountMismatch/S
an invalid finding does | {n: 2, m: 1, log: [a, b]} | {n: 1, m: x, log: [a]} | Invalid CounterRegression/S Malformed/I
findings beat waivers | {n: 2, m: x, log: [a, b]} | {n: 1, m: 1, log: [a]} | Stale CounterRegression/S Malformed/W
all at once | {n: 2, m: 1, log: [a]} | {n: 1, m: 0} | Stale CounterRegression/S CountMismatch/W
"#;
