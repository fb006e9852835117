//! R9: two sums agree.

use super::evaluation::{Evaluation, SHOWN_IN_MESSAGE, Violation};
use crate::budget::Unfinished;
use crate::magnitude::{sum, terms};
use crate::path::{Location, Path};
use crate::rules::{EqualRule, Term};
use crate::shown::cut;
use crate::sum::ExactSum;
use crate::value::Value;
use crate::verdict::{Class, Reason};

impl Evaluation<'_> {
    /// R9.
    pub(super) fn equal(
        &mut self,
        rule: &EqualRule,
        old: &Value<'_>,
        new: &Value<'_>,
        parent: Option<&Location<'_>>,
    ) -> Result<(), Unfinished> {
        let mut held = self.budget.hold(0)?;
        let mut sum = |terms: &[Term], item: &Value<'_>| sum(terms, item, &mut held);
        let (l, r) = (sum(&rule.left, new)?, sum(&rule.right, new)?);
        if l == r {
            return Ok(());
        }
        let (old_l, old_r) = (sum(&rule.left, old)?, sum(&rule.right, old)?);
        if l == old_l && r == old_r {
            return Ok(());
        }
        let (smaller, lesser, greater) = if l < r { (&rule.left, &l, &r) } else { (&rule.right, &r, &l) };
        let larger = if l < r { &rule.right } else { &rule.left };
        let first = smaller.iter().chain(larger).map(Term::path).next();
        let empty = Path::default();
        let location = Location::under(parent, first.unwrap_or(&empty));
        let old_gap = old_l.gap(&old_r);
        if !old_gap.is_zero() && l.gap(&r) <= old_gap {
            self.waive(&location, Reason::CountMismatch);
            return Ok(());
        }
        let lags = if l < r { rule.left_lags } else { rule.right_lags };
        let class = if lags { Class::Stale } else { Class::Invalid };
        let redacted = smaller.iter().chain(larger).any(|term| self.redacted(&Location::under(parent, term.path())));
        let what = if redacted {
            format!("{} and {} no longer agree", terms(smaller), terms(larger))
        } else {
            let shown = |sum: &ExactSum| cut(&sum.to_string(), SHOWN_IN_MESSAGE).into_owned();
            format!("{} is {}, but {} is {}", terms(smaller), shown(lesser), terms(larger), shown(greater))
        };
        let (before, after) =
            (first.map_or(&Value::Null, |path| path.of(old)), first.map_or(&Value::Null, |path| path.of(new)));
        self.report(&location, Violation { reason: Reason::CountMismatch, class, old: before, new: after }, |_| what);
        Ok(())
    }
}
