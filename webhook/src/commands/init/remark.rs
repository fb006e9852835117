//! What a first policy says of rules, and of the fields without one.

/// Why a rule is there, and when it holds. In the order in which rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    Generation,
    ConditionGeneration,
    Counter,
    MaybeCounter,
    InnerCounter,
    InnerGeneration,
    Span,
    Reference,
    Conditions,
    InnerConditions,
    Keyed,
    KeyedFree,
    KeyGuessed,
    KeyUnknown,
    Map,
    History,
}

impl Remark {
    pub fn text(self) -> &'static str {
        match self {
            Self::Generation => {
                "The generation that the controller has observed: it never decreases and is never above the \
                 object's own."
            }
            Self::ConditionGeneration => {
                "The generation that a condition was set for. `toZero`: a write may leave it out."
            }
            Self::Counter => {
                "Counters, by their names. `toZero` lets a counter start again at 0; remove it if the controller \
                 never does that. Remove the rule of a number that is counted anew: it decreases in correct work."
            }
            Self::MaybeCounter => {
                "These may be counters. Switch on what the controller only increments: a number that is counted \
                 anew decreases in correct work."
            }
            Self::InnerCounter => {
                "Counters inside another field, by their names. Switch on those that never start again when that \
                 field is replaced as a whole."
            }
            Self::InnerGeneration => {
                "Generations inside another field. Switch on those of this object itself: where the status of \
                 another object is copied, they are that object's."
            }
            Self::Span => {
                "Times when something started or ended. Switch on those that stay once they are set. A controller \
                 that retries or restarts clears such a time or sets it anew: then the rule needs `resets`."
            }
            Self::Reference => {
                "Names, ids and references. Switch on those that never change and never go once they are set, not \
                 by a retry either."
            }
            Self::Conditions => {
                "Conditions, each type once, in any order: a stale write cannot drop one. If the controller removes \
                 conditions in correct work, remove this rule."
            }
            Self::InnerConditions => {
                "Conditions inside another field. Switch the rule on if none ever goes, not by replacing that field \
                 as a whole either."
            }
            Self::Keyed => {
                "The schema says which members identify an entry. Switch the rule on if entries are never removed. \
                 If they are, `keep: 0` lets them go, and `each` still guards the content of those that stay."
            }
            Self::KeyedFree => {
                "The schema says which members identify an entry. Switch the rule on if entries are never removed."
            }
            Self::KeyGuessed => {
                "The schema does not say what identifies an entry: `key` is a guess. Switch the rule on if no two \
                 entries share their key and entries are never removed. If they are, `keep: 0` lets them go, and \
                 `each` still guards the content of those that stay."
            }
            Self::KeyUnknown => {
                "The schema does not say what identifies an entry. Name the members in `key`, and switch the rule \
                 on if entries are never removed. If they are, `keep: 0` lets them go, and `each` still guards the \
                 content of those that stay."
            }
            Self::Map => {
                "Switch the rule on if entries of the map are never removed. If they are, `keep: 0` lets them go, \
                 and `each` still guards the content of those that stay."
            }
            Self::History => {
                "A history, by its name. Switch the rule on if entries are added at the end, and then neither \
                 change nor go. If the newest comes first, say `order: Prepend`; if old ones are dropped, say how \
                 many stay with `keep: N`; if entries change, add `each`."
            }
        }
    }
}

/// Why a field has no rule. In the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unguarded {
    ConditionStatus,
    ConditionTime,
    Text,
    Flag,
    Number,
    NumberOrText,
    Time,
    TextTime,
    MovingName,
    Choice,
    Object,
    Collection,
    Other,
    Opaque,
    Unlisted,
    Unnameable,
    Fixed,
}

impl Unguarded {
    pub fn text(self) -> &'static str {
        match self {
            Self::ConditionStatus => {
                "Whether a condition holds may change both ways. One that stays once it holds can be a machine: \
                 `phases` with `states`."
            }
            Self::ConditionTime => {
                "The times of conditions come from the clocks of their writers. If all conditions have one writer, \
                 such a time can be `monotone` inside `each`."
            }
            Self::Text => "Messages, reasons and the like, which may change with every write.",
            Self::Flag => "Flags, which may change both ways.",
            Self::Number => {
                "Numbers that may decrease in correct work, because they are counted anew, measured or configured."
            }
            Self::NumberOrText => "Numbers that may also be text, which `monotone` would refuse.",
            Self::Time => {
                "Times that may be set again. One that only moves forward, and that one process alone writes, can \
                 be `monotone`."
            }
            Self::TextTime => {
                "Times by their names, but the schema allows any text, and `monotone` would refuse what is not a \
                 time."
            }
            Self::MovingName => "Values that, by their names, follow something that changes.",
            Self::Choice => "One of a few values. If they are states with known transitions, make it a machine.",
            Self::Object => {
                "Objects in which no field, by its name, is a state, a counter or the time of a start or an end."
            }
            Self::Collection => {
                "Lists and maps, whose entries may change and go. Add those whose entries stay to `collections`."
            }
            Self::Other => "Values of which the schema says too little.",
            Self::Opaque => "The schema does not say what is in them.",
            Self::Unlisted => "Fields that are stored although the schema does not list them, inside these.",
            Self::Unnameable => "A path or a key of a policy cannot name them.",
            Self::Fixed => "The API server already refuses a change, by a rule of the schema (`self == oldSelf`).",
        }
    }
}
