//! Choices for the generators, taken from numbers that proptest makes and shrinks.

/// Numbers to choose by; once they are used up, the answer is the first, simplest choice.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    numbers: Vec<u32>,
    at: usize,
}

impl Choices {
    pub(crate) fn new(numbers: Vec<u32>) -> Choices {
        Choices { numbers, at: 0 }
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::try_from(number).unwrap_or(0) % limit.max(1)
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) + chance >= 100
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn word<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Some of them, at least one, in their order.
    pub(crate) fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        let chosen: Vec<T> = from.iter().filter(|_| self.percent(40)).cloned().collect();
        if chosen.is_empty() { vec![self.pick(from).clone()] } else { chosen }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
