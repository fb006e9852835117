//! Cases for R1 to R5 and R11, decided by hand from the text of the language.

/// `policy` opens a group with the rule set; then `name | old status | new status | expected`.
/// `@3` before a status is its object's generation; `/S`, `/I`, `/W` mean Stale, Invalid, waived.
pub(crate) const CASES: &str = r#"
# R1, R2, R3, R5: a chain
policy {phases: [{path: .status.phase, initial: [Pending], transitions: [{from: [Pending], to: [Sending]}, {from: [Sending], to: [Sent, Failed]}], final: [Sent, Failed]}]}
R2 same status | {phase: Bogus} | {phase: Bogus} | Allow
R2 unset members | {phase: Sent} | {phase: Sent, a: null, b: '', c: 0, d: false, e: [], f: {}, g: {h: {i: 0.0e3}}} | Allow
R2 no status at all | null | {phase: '', x: {y: null}} | Allow
R3 phase unchanged | {phase: Sent} | {phase: Sent, x: 1} | Allow
R3 unknown phase unchanged | {phase: Bogus} | {phase: Bogus, x: 1} | Allow
R3 unset in another way | {phase: '', x: 1} | {phase: 0, x: 2} | Allow
R3 malformed values are one | {phase: 5} | {phase: [x]} | Allow
R3 names are compared as values | {phase: 2024-03-01T00:00:01.50Z} | {phase: 2024-03-01T05:00:01.5+05:00} | Allow
R5 first | null | {phase: Pending} | Allow
R5 edge | {phase: Pending} | {phase: Sending} | Allow
R5 edge to final | {phase: Sending} | {phase: Failed} | Allow
R5.2 number | {phase: Pending} | {phase: 5} | Invalid Malformed/I@status.phase
R5.2 true | {phase: Pending} | {phase: true} | Invalid Malformed/I
R5.2 list | null | {phase: [Pending]} | Invalid Malformed/I
R5.2 object | null | {phase: {name: Pending}} | Invalid Malformed/I
R5.2 object of unset is unset | {phase: Pending} | {phase: {name: ''}} | Stale PhaseRegression/S
R5.4 from unknown | {phase: Bogus} | {phase: Sent} | Repair PhaseUnknown/W@status.phase
R5.4 unknown to unknown | {phase: Bogus} | {phase: Other} | Repair PhaseUnknown/W
R5.4 unknown to unset | {phase: Bogus} | null | Repair PhaseUnknown/W
R5.4 from malformed | {phase: 5} | {phase: Sending} | Repair PhaseUnknown/W
R5.4 unknown to malformed | {phase: Bogus} | {phase: 5} | Invalid Malformed/I
R5.6 unknown | {phase: Pending} | {phase: Bogus} | Invalid PhaseUnknown/I
R5.6 unknown from unset | null | {phase: pending} | Invalid PhaseUnknown/I
R5.7 back | {phase: Sending} | {phase: Pending} | Stale PhaseRegression/S@status.phase
R5.7 back from final | {phase: Sent} | {phase: Sending} | Stale PhaseRegression/S
R5.7 two ends | {phase: Sent} | {phase: Failed} | Stale PhaseRegression/S
R5.7 cleared | {phase: Sending} | {x: 1} | Stale PhaseRegression/S
R5.7 status null | {phase: Sending} | null | Stale PhaseRegression/S
R5.7 status is not an object | {phase: Sending} | 7 | Stale PhaseRegression/S
R5.8 skipped | {phase: Pending} | {phase: Sent} | Invalid PhaseSkipped/I@status.phase
R5.8 first skipped | null | {phase: Sending} | Invalid PhaseSkipped/I

# R5.5: skip
policy {phases: [{path: .status.s.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}, {from: [C], to: [D]}, {from: [D], to: [E]}], skip: [B, D]}]}
one inner | {s: {p: A}} | {s: {p: C}} | Allow
inner not in skip | {s: {p: A}} | {s: {p: D}} | Invalid PhaseSkipped/I@status.s.p
the start cannot be skipped | null | {s: {p: B}} | Invalid PhaseSkipped/I
second inner | {s: {p: C}} | {s: {p: E}} | Allow
explained by a skip from r | {s: {p: D}} | {s: {p: C}} | Stale PhaseRegression/S
reach ignores skip | {s: {p: E}} | {s: {p: A}} | Stale PhaseRegression/S
path through a string is unset | {s: A} | {s: {p: A}} | Allow
path through a list is unset | {s: [{p: A}]} | {s: {p: B}} | Invalid PhaseSkipped/I

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}], skip: ['*'], final: [C]}]}
all skipped | null | {p: C} | Allow
all skipped, one inner | {p: A} | {p: C} | Allow
skip goes forward only | {p: C} | {p: A} | Stale PhaseRegression/S

# "*" in from
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [Done]}, {from: ['*'], to: [Del]}], final: [Done]}]}
from any | {p: A} | {p: Del} | Allow
not from a final phase, but explained | {p: Done} | {p: Del} | Stale PhaseRegression/S
not from unset | null | {p: Del} | Invalid PhaseSkipped/I
unknown is waived first | {p: Bogus} | {p: Del} | Repair PhaseUnknown/W
a way back from it | {p: Del} | {p: Done} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [Done]}, {from: ['*', Done], to: [Del]}], final: [Done]}]}
final named beside the star | {p: Done} | {p: Del} | Allow

# "*" in to
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: ['*']}, {from: [B], to: [C]}]}]}
to any name | {p: A} | {p: Bogus} | Allow
to any known name | {p: A} | {p: C} | Allow
not to unset | {p: A} | {x: 1} | Stale PhaseRegression/S
explained by the star | {p: B} | {p: Bogus} | Stale PhaseRegression/S
unknown start is skipped, not unknown | null | {p: Bogus} | Invalid PhaseSkipped/I
from unknown is judged | {p: Bogus} | {p: A} | Stale PhaseRegression/S
from unknown to unknown | {p: Bogus} | {p: Other} | Stale PhaseRegression/S
from unknown to unset | {p: Bogus} | null | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: ['*']}, {from: ['*'], to: [Z]}], final: [Z]}]}
an unknown name may be left by the star | {p: Bogus} | {p: Z} | Allow
into final | {p: Z} | {p: Bogus} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: ['*']}, {from: ['*'], to: [X]}, {from: [X], to: [Y]}], final: [A, B, Y]}]}
an unknown name is passed on the way | {p: X} | {p: Y} | Allow
the way back through it | {p: Y} | {p: Bogus} | Stale PhaseRegression/S
a final phase may come again by a star | {p: A} | {p: Y} | Stale PhaseRegression/S
an unknown name reaches X only by the star | {p: X} | {p: Bogus} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: ['*']}, {from: ['*'], to: ['']}], final: [A, K]}]}
unset is reached through an unknown name | null | {p: K} | Stale PhaseRegression/S

# `initial` omitted
policy {phases: [{path: .status.p, transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}], final: [C]}]}
any known start | null | {p: C} | Allow
unknown start | null | {p: Bogus} | Invalid PhaseUnknown/I
A to C is explained by an unset start | {p: A} | {p: C} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, transitions: [{from: [A], to: ['*']}]}]}
any start | null | {p: Bogus} | Allow
back to A is explained | {p: Bogus} | {p: A} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A, B]}]}
no transitions, first | null | {p: B} | Allow
no transitions, other start explains | {p: B} | {p: A} | Stale PhaseRegression/S

# "" named
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [''], to: [C]}, {from: [A], to: [B]}, {from: [B], to: ['']}], final: [B]}]}
from unset by an edge | null | {p: C} | Allow
from unset by initial | null | {p: A} | Allow
to unset by an edge | {p: B} | {x: 1} | Allow
not from A to unset, but explained | {p: A} | null | Stale PhaseRegression/S
unset after B explains B from unset | null | {p: B} | Stale PhaseRegression/S
C came from unset | {p: C} | {p: A} | Stale PhaseRegression/S
C to B: A explains | {p: C} | {p: B} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A, ''], to: [B]}, {from: [B], to: [C]}], skip: ['*']}]}
an inner phase that unset has an edge to | {p: A} | {p: C} | Allow

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: ['']}, {from: [''], to: [C]}, {from: [C], to: [D]}], skip: ['*']}]}
not through unset, but round again | {p: A} | {p: C} | Stale PhaseRegression/S

# R4 on phase
policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}], final: [C], resets: {with: [.status.w]}}]}
restart | {p: C, w: 1} | {p: A, w: 2} | Allow
restart to unset | {p: C, w: 1} | {w: 2} | Allow
restart without witness | {p: C, w: 1} | {p: A, w: 1} | Stale PhaseRegression/S
restart with a falling witness | {p: C, w: 2} | {p: A, w: 1} | Stale PhaseRegression/S
restart in the middle, explained | {p: C, w: 1} | {p: B, w: 2} | Stale PhaseRegression/S
the step itself stays legal | {p: A, w: 1} | {p: B, w: 2} | Allow
a jump is explained by a restart | {p: A, w: 1} | {p: C, w: 1} | Stale PhaseRegression/S
the start is explained by a restart | {w: 1} | {p: C, w: 1} | Stale PhaseRegression/S
unknown stays unknown | {p: A, w: 1} | {p: Bogus, w: 2} | Invalid PhaseUnknown/I
malformed stays malformed | {p: A, w: 1} | {p: 5, w: 2} | Invalid Malformed/I
waivers come first | {p: Bogus, w: 1} | {p: A, w: 2} | Repair PhaseUnknown/W
witness by digits | {p: C, w: '9'} | {p: A, w: '10'} | Allow
witness from digits to number | {p: C, w: '9'} | {p: A, w: 10} | Allow
witness set | {p: C} | {p: A, w: x} | Allow
witness set to a negative number | {p: C} | {p: A, w: -1} | Allow
witness unset | {p: C, w: -5} | {p: A, w: 0} | Stale PhaseRegression/S
witness becomes a longer list | {p: C, w: [1]} | {p: A, w: [1, null]} | Allow
witness becomes a longer map | {p: C, w: {a: 1}} | {p: A, w: {a: 1, b: 2}} | Stale PhaseRegression/S
an opaque id is not a witness | {p: C, w: abc} | {p: A, w: xyz} | Stale PhaseRegression/S
witness is a later time | {p: C, w: 2024-01-01T00:00:00Z} | {p: A, w: 2024-01-01T01:00:01+01:00} | Allow
witness is later by a fraction | {p: C, w: 2024-01-01T00:00:00.1Z} | {p: A, w: 2024-01-01T00:00:00.9Z} | Stale PhaseRegression/S
a number against a time is not an advance | {p: C, w: 5} | {p: A, w: 2024-01-01T00:00:00Z} | Stale PhaseRegression/S
fractions advance as numbers | {p: C, w: 1} | {p: A, w: 1.000000000000000000001} | Allow

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}, {from: [C], to: [D]}], final: [D], resets: {from: [D]}}]}
old phase in from | {p: D} | {p: A} | Allow
old phase not in from | {p: C} | {p: A} | Stale PhaseRegression/S
from does not skip | {p: D} | {p: C} | Stale PhaseRegression/S

policy {phases: [{path: .status.p, initial: [A], transitions: [{from: [A], to: [B]}, {from: [B], to: [C]}], resets: {to: [A, '']}}]}
new phase in to | {p: C} | {p: A} | Allow
unset in to | {p: C} | null | Allow
new phase not in to | {p: C} | {p: B} | Stale PhaseRegression/S

# states: phases kept in conditions
policy {phases: [{path: .status.conditions, states: {Run: Running=True, Done: Succeeded=True, Fail: Succeeded=False, Sus: Suspended=True}, initial: [Run, Sus], transitions: [{from: [Run], to: [Done, Fail]}, {from: [Sus], to: [Run]}], final: [Done, Fail]}]}
none | null | {conditions: [{type: Other, status: 'True'}]} | Allow
one | null | {conditions: [{type: Running, status: 'True'}]} | Allow
status in other words does not count | null | {conditions: [{type: Succeeded, status: 'true'}, {type: Succeeded, status: true}, {type: 5, status: 'True'}, Succeeded=True]} | Allow
several, one end | {conditions: [{type: Running, status: 'True'}]} | {conditions: [{type: Running, status: 'True'}, {type: Succeeded, status: 'True'}]} | Allow
twice the same | null | {conditions: [{type: Running, status: 'True'}, {type: Running, status: 'True'}]} | Allow
an end at once | null | {conditions: [{type: Succeeded, status: 'True'}]} | Invalid PhaseSkipped/I@status.conditions
back | {conditions: [{type: Succeeded, status: 'True'}]} | {conditions: [{type: Running, status: 'True'}]} | Stale PhaseRegression/S
malformed | null | {conditions: {Running: 'True'}} | Invalid Malformed/I@status.conditions
malformed before | {conditions: {Running: 'True'}} | {conditions: [{type: Succeeded, status: 'True'}]} | Repair PhaseUnknown/W
ambiguous, both ends, explained | {conditions: [{type: Succeeded, status: 'True'}]} | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Stale PhaseAmbiguous/S@status.conditions
ambiguous, absorbed do not count | {conditions: [{type: Running, status: 'True'}, {type: Succeeded, status: 'True'}]} | {conditions: [{type: Running, status: 'True'}, {type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Stale PhaseAmbiguous/S
ambiguous, two new ones | {conditions: [{type: Running, status: 'True'}]} | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Invalid PhaseAmbiguous/I
ambiguous, the old one and two more | {conditions: [{type: Succeeded, status: 'True'}]} | {conditions: [{type: Running, status: 'True'}, {type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Invalid PhaseAmbiguous/I
ambiguous, the other one not explained | {conditions: [{type: Suspended, status: 'True'}]} | {conditions: [{type: Suspended, status: 'True'}, {type: Succeeded, status: 'True'}]} | Invalid PhaseAmbiguous/I
ambiguous from nothing | null | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Invalid PhaseAmbiguous/I
ambiguous from malformed | {conditions: 5} | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Invalid PhaseAmbiguous/I
ambiguous unchanged | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | {conditions: [{type: Succeeded, status: 'False', x: 1}, {type: Succeeded, status: 'True'}]} | Allow
ambiguous, fewer | {conditions: [{type: Suspended, status: 'True'}, {type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Repair PhaseAmbiguous/W
ambiguous, other ones | {conditions: [{type: Suspended, status: 'True'}, {type: Succeeded, status: 'True'}]} | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | Invalid PhaseAmbiguous/I
ambiguous to one | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | {conditions: [{type: Suspended, status: 'True'}]} | Repair PhaseUnknown/W
ambiguous to none | {conditions: [{type: Succeeded, status: 'True'}, {type: Succeeded, status: 'False'}]} | null | Repair PhaseUnknown/W

policy {phases: [{path: .status.conditions, states: {FailureTarget: FailureTarget=True, Failed: Failed=True, Loop: Loop=True}, transitions: [{from: [FailureTarget], to: [Failed]}, {from: [Failed], to: [Loop]}, {from: [Loop], to: [Failed]}]}]}
both read as Failed | {conditions: [{type: FailureTarget, status: 'True'}]} | {conditions: [{type: FailureTarget, status: 'True'}, {type: Failed, status: 'True'}]} | Allow
edges both ways are ambiguous | {conditions: [{type: Failed, status: 'True'}]} | {conditions: [{type: Failed, status: 'True'}, {type: Loop, status: 'True'}]} | Stale PhaseAmbiguous/S
three, one end | {conditions: [{type: FailureTarget, status: 'True'}]} | {conditions: [{type: FailureTarget, status: 'True'}, {type: Failed, status: 'True'}, {type: Loop, status: 'True'}]} | Allow
"#;
