//! What replicas and time do.

use statusguard_rotation::{
    AuthorityRecord, Bundle, Leaf, LeafAction, Observation, Role, SecretContent, Step, UnixTime, Validity, WaitReason,
};

use super::world::{Fresh, Look, Misuse, Replica, TIMING, World, covered, hash, id, rotation};

impl World {
    /// The next part of a replica's look.
    pub fn look(&mut self, replica: usize) {
        match std::mem::replace(&mut self.replicas[replica].look, Look::Idle) {
            Look::Idle => {
                let fresh = Fresh { secret: true, bundles: vec![true; self.bundles.len()], aware: true };
                let bundles = if self.misuse.secret_late { self.bundles.clone() } else { Vec::new() };
                self.replicas[replica].look =
                    Look::Begun { asked_at: self.now, secret: self.secret.clone(), bundles, fresh };
            }
            Look::Begun { asked_at, secret, bundles, fresh } => {
                let Misuse { secret_late, secret_once, now_early, .. } = self.misuse;
                if fresh.secret || secret_late || secret_once || now_early {
                    self.decide(replica, asked_at, secret, bundles, fresh);
                }
            }
            Look::Decided { step, leaf, fresh } => {
                self.serve(replica, leaf);
                self.take(replica, step, fresh);
            }
        }
    }

    fn decide(
        &mut self,
        replica: usize,
        asked_at: UnixTime,
        secret: SecretContent,
        bundles: Vec<Bundle>,
        mut fresh: Fresh,
    ) {
        let now = if self.misuse.now_early { asked_at } else { self.now };
        let mut observation = Observation { asked_at, bundles, secret, leaf: self.replicas[replica].leaf };
        if self.misuse.now_early {
            observation.bundles.clone_from(&self.bundles);
            observation.secret = self.secret.clone();
            fresh = Fresh { secret: true, bundles: vec![true; self.bundles.len()], aware: true };
        } else if self.misuse.secret_late {
            observation.secret = self.secret.clone();
            fresh.secret = true;
        } else {
            observation.bundles.clone_from(&self.bundles);
            fresh.bundles.fill(true);
            // What a person changed before this is seen.
            fresh.aware = true;
        }
        let step = rotation().next_step(now, &observation);
        let leaf = rotation().leaf_action(now, &observation, 0.5);
        check_leaf(now, &observation, leaf);
        check_step(now, &step);
        if matches!((&step, leaf), (Step::Wait { .. }, LeafAction::Keep { .. })) {
            self.finish(replica, &fresh);
        } else {
            self.replicas[replica].look = Look::Decided { step, leaf, fresh };
        }
    }

    fn serve(&mut self, replica: usize, action: LeafAction) {
        match action {
            LeafAction::Keep { .. } => {}
            LeafAction::Issue { authority, mut validity } => {
                if self.misuse.asked_late {
                    let end = self.now.before(TIMING.skew).after(TIMING.leaf_life);
                    validity.not_after = end.min(self.authorities[&authority].not_after);
                }
                self.replicas[replica].leaf = Some(Leaf { authority, validity });
            }
            LeafAction::Wait { .. } => self.replicas[replica].leaf = None,
        }
    }

    /// Only what a look does about the leaf.
    pub fn renew_leaf(&mut self, replica: usize) {
        let action = rotation().leaf_action(self.now, &self.observation(replica), 0.5);
        self.serve(replica, action);
    }

    fn take(&mut self, replica: usize, step: Step, mut fresh: Fresh) {
        match step {
            Step::Add(addition) if fresh.secret || self.misuse.blind_writes => {
                self.made += 1;
                let new = id(self.made);
                self.authorities.insert(new, addition.validity);
                self.secret = SecretContent::Readable(addition.with(new));
                self.touch_secret();
            }
            Step::Write { state, .. } if fresh.secret || self.misuse.blind_writes => {
                self.secret = SecretContent::Readable(state);
                self.touch_secret();
            }
            Step::Publish { bundle, mut to } => {
                let index = to.remove(0);
                if fresh.bundles[index] || self.misuse.blind_writes {
                    self.bundles[index] = self.bundle_of(bundle.iter().copied());
                    self.touch_bundle(index);
                    fresh.bundles[index] = false;
                }
                if !to.is_empty() {
                    let keep = LeafAction::Keep { until: self.now };
                    self.replicas[replica].look =
                        Look::Decided { step: Step::Publish { bundle, to }, leaf: keep, fresh };
                    return;
                }
            }
            Step::Add(_) | Step::Write { .. } | Step::Wait { .. } => {}
        }
        self.finish(replica, &fresh);
    }

    fn finish(&mut self, replica: usize, fresh: &Fresh) {
        if fresh.aware {
            self.replicas[replica].unaware = false;
        }
    }

    /// Makes worlds equal that can do the same: ends looks that can have no effect, and orders replicas.
    pub fn simplify(&mut self) {
        if self.misuse == Misuse::default() {
            for replica in &mut self.replicas {
                replica.end_idle_look();
            }
        }
        self.replicas.sort_by_cached_key(hash);
    }

    /// Looks until nothing of it is left to do.
    pub fn whole_look(&mut self, replica: usize) {
        loop {
            self.look(replica);
            if self.replicas[replica].look == Look::Idle {
                return;
            }
        }
    }

    fn current(&self) -> Option<&AuthorityRecord> {
        match &self.secret {
            SecretContent::Readable(state) => state.current(),
            SecretContent::Absent | SecretContent::Unusable(_) => None,
        }
    }

    /// When two thirds of the current authority's life have passed.
    pub fn renewal(&self) -> Option<UnixTime> {
        let Validity { not_before, not_after } = self.current()?.validity;
        Some(UnixTime::from_seconds(not_before.seconds() + (not_after.seconds() - not_before.seconds()) * 2 / 3))
    }

    /// The next time at which something ends or is due.
    pub fn next_event(&self) -> Option<UnixTime> {
        let mut times = Vec::new();
        if let SecretContent::Readable(state) = &self.secret {
            for authority in state.authorities() {
                let validity = authority.validity;
                let life = validity.not_after.seconds() - validity.not_before.seconds();
                times.extend([validity.not_after.seconds(), validity.not_before.seconds() + life * 2 / 3]);
                match authority.role {
                    Role::Next { published_at: Some(time) } => times.push(time.after(TIMING.spread).seconds()),
                    Role::Retired { leaves_end: Some(time) } => times.push(time.after(TIMING.skew).seconds()),
                    _ => {}
                }
            }
        }
        // When a leaf of the current authority is renewed makes no difference to others.
        let signs = |leaf: &Leaf| self.current().is_some_and(|current| current.id == leaf.authority);
        let leaves = self.replicas.iter().filter_map(|replica| replica.leaf).filter(|leaf| !signs(leaf));
        times.extend(leaves.map(|leaf| leaf.validity.not_after.seconds()));
        times.into_iter().filter(|time| *time > self.now.seconds()).min().map(UnixTime::from_seconds)
    }
}

impl Replica {
    /// A look that has read something old writes nothing.
    fn end_idle_look(&mut self) {
        let aware = match &mut self.look {
            Look::Begun { fresh, .. } if !fresh.secret => false,
            Look::Decided { step, leaf, fresh } => {
                let useless = match step {
                    Step::Add(_) | Step::Write { .. } => !fresh.secret,
                    Step::Publish { to, .. } => {
                        to.retain(|index| fresh.bundles[*index]);
                        to.is_empty()
                    }
                    Step::Wait { .. } => true,
                };
                if !useless {
                    return;
                }
                if !matches!(leaf, LeafAction::Keep { .. }) {
                    *step = NOTHING;
                    *fresh = Fresh { secret: false, bundles: vec![false; fresh.bundles.len()], aware: fresh.aware };
                    return;
                }
                fresh.aware
            }
            Look::Idle | Look::Begun { .. } => return,
        };
        self.unaware &= !aware;
        self.look = Look::Idle;
    }
}

const NOTHING: Step = Step::Wait { until: UnixTime::from_seconds(0), reason: WaitReason::Renewal };

/// What every decision about a leaf keeps, whatever was observed.
fn check_leaf(now: UnixTime, observation: &Observation, action: LeafAction) {
    let leaf = match action {
        LeafAction::Keep { until } => {
            assert!(now < until && until <= now.after(TIMING.tick), "{until:?} from {now:?}");
            observation.leaf.expect("only a leaf can be kept")
        }
        LeafAction::Issue { authority, validity } => Leaf { authority, validity },
        LeafAction::Wait { .. } => return,
    };
    assert!(leaf.validity.contains(now), "{action:?} is not valid");
    assert!(covered(&observation.bundles, &leaf), "{action:?} is not in every bundle");
}

fn check_step(now: UnixTime, step: &Step) {
    if let Step::Wait { until, .. } = step {
        assert!(now < *until && *until <= now.after(TIMING.tick), "{until:?} from {now:?}");
    }
}
