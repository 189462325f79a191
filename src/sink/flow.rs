//! How many requests may be on their way: more while the server takes them, fewer when it says that it has enough.

/// Additive increase, multiplicative decrease, as TCP does it.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    limit: f64,
    most: f64,
}

impl Flow {
    /// Between one and `most`, to begin with half of them.
    pub fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Flow { limit: (most / 2.0).max(1.0), most }
    }

    /// How many may be on their way.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// One was taken.
    pub fn taken(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit).min(self.most);
    }

    /// The server has enough.
    pub fn refused(&mut self) {
        self.limit = (self.limit / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_once_and_grows_by_about_one_a_round() {
        let mut flow = Flow::new(8);
        assert_eq!(flow.limit(), 4);
        flow.refused();
        assert_eq!(flow.limit(), 2);
        for _ in 0..3 {
            flow.taken();
        }
        assert_eq!(flow.limit(), 3);
        (0..1_000).for_each(|_| flow.taken());
        assert_eq!(flow.limit(), 8);
        (0..10).for_each(|_| flow.refused());
        assert_eq!(flow.limit(), 1, "one always goes on");
    }
}
