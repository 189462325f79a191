//! What is known of the rows of a group.

/// What is known of the rows of a group, and of a change of them: both are the same, since both only add up.
///
/// **Law.** Adding and merging commute: the result depends on how often each input was added, on balance, and on nothing
/// else. What was added and taken away again leaves no trace. So it must be exact: a float would keep one.
///
/// `()` is the accumulator of those who only want to know how many rows there are; a pair is two of them side by side.
pub trait Accumulator: Default + Clone + 'static {
    /// What one row gives to its group.
    type Input;

    /// Adds an input so many times; a negative number takes it away.
    fn add(&mut self, input: Self::Input, times: i64);

    /// Adds everything that `other` has accumulated.
    fn merge(&mut self, other: Self);

    /// Reads something of what it holds in an allocation of its own, if it does: several are looked at before any of them is
    /// changed, and so are fetched together.
    fn glance(&self) -> u64 {
        0
    }
}

impl Accumulator for () {
    type Input = ();

    fn add(&mut self, (): (), _times: i64) {}

    fn merge(&mut self, (): ()) {}
}

impl<A: Accumulator, B: Accumulator> Accumulator for (A, B) {
    type Input = (A::Input, B::Input);

    fn add(&mut self, (a, b): Self::Input, times: i64) {
        self.0.add(a, times);
        self.1.add(b, times);
    }

    fn merge(&mut self, (a, b): Self) {
        self.0.merge(a);
        self.1.merge(b);
    }
}
