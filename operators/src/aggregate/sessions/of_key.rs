//! The sessions of one key.

use std::collections::{BTreeMap, BTreeSet};

use super::Session;
use super::by_time::ByTime;
use crate::aggregate::accumulator::Accumulator;
use crate::aggregate::group::Group;

/// The sessions of one key.
pub(super) struct Sessions<A> {
    /// What there is at each time.
    times: BTreeMap<i64, Group<A>>,
    /// By the time of their first row.
    sessions: BTreeMap<i64, Span<A>>,
}

/// Times that follow each other, and what they come to.
struct Span<A> {
    last: i64,
    of: Group<A>,
}

/// What an epoch has touched.
struct Touched<O, F> {
    /// The results that were there before it, by start.
    before: BTreeMap<i64, Option<O>>,
    /// The starts of those sessions that it has made or changed.
    now: BTreeSet<i64>,
    result: F,
}

impl<A> Default for Sessions<A> {
    fn default() -> Self {
        Sessions { times: BTreeMap::new(), sessions: BTreeMap::new() }
    }
}

impl<A: Accumulator> Sessions<A> {
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Changes what there is at some times; tells `emit` the results that go and come. Times that are less than `gap` apart are
    /// of one session.
    pub(super) fn change<O: Eq>(
        &mut self,
        changes: ByTime<A>,
        gap: i64,
        mut result: impl FnMut(Session, &Group<A>) -> Option<O>,
        mut emit: impl FnMut(O, isize),
    ) {
        let result = |start: i64, span: &Span<A>| {
            let end = span.last.saturating_add(gap);
            result(Session { start, end }, &span.of)
        };
        let mut touched = Touched { before: BTreeMap::new(), now: BTreeSet::new(), result };
        // What goes comes last: what comes in its place may keep together what it would have parted.
        let mut going = Vec::new();
        for (time, change) in changes.0 {
            let rows = self.times.get(&time).map_or(0, |at| at.rows);
            if rows > 0 && rows + change.rows <= 0 {
                going.push((time, change));
                continue;
            }
            let at = self.times.entry(time).or_default();
            at.merge(change.clone());
            match (rows > 0, at.rows > 0) {
                (true, _) => self.grow(time, change, &mut touched),
                (false, true) => {
                    let all = at.clone();
                    self.come(time, all, gap, &mut touched);
                }
                (false, false) if at.rows == 0 => drop(self.times.remove(&time)),
                (false, false) => {}
            }
        }
        for (time, change) in going {
            self.go(time, change, gap, &mut touched);
        }
        let Touched { mut before, now, mut result } = touched;
        for start in now {
            let new = result(start, &self.sessions[&start]);
            let old = before.remove(&start).flatten();
            if old != new {
                old.into_iter().for_each(|old| emit(old, -1));
                new.into_iter().for_each(|new| emit(new, 1));
            }
        }
        before.into_values().flatten().for_each(|old| emit(old, -1));
    }

    /// Other rows at a time that is in a session.
    fn grow<O, F>(&mut self, time: i64, change: Group<A>, touched: &mut Touched<O, F>)
    where
        F: FnMut(i64, &Span<A>) -> Option<O>,
    {
        let start = self.session_of(time);
        let span = self.sessions.get_mut(&start).expect("it is known by its start");
        touched.change(start, span);
        span.of.merge(change);
    }

    /// The first rows at a time: it makes a session, or joins those within the gap.
    fn come<O, F>(&mut self, time: i64, of: Group<A>, gap: i64, touched: &mut Touched<O, F>)
    where
        F: FnMut(i64, &Span<A>) -> Option<O>,
    {
        let near = |from: i64, to: i64| to.saturating_sub(from) < gap;
        let earlier = self.sessions.range_mut(..=time).next_back();
        let (start, last) = match earlier.filter(|(_, span)| near(span.last, time)) {
            Some((start, span)) => {
                touched.change(*start, span);
                span.of.merge(of);
                span.last = span.last.max(time);
                (*start, span.last)
            }
            None => {
                self.put(time, Span { last: time, of }, touched);
                (time, time)
            }
        };
        let later = self.sessions.range(time..).find(|(other, _)| **other != start).map(|(other, _)| *other);
        if let Some(other) = later.filter(|other| near(last, *other)) {
            let joined = self.take(other, touched);
            let span = self.sessions.get_mut(&start).expect("it was just there");
            span.last = joined.last;
            span.of.merge(joined.of);
        }
    }

    /// The last rows at a time go: their session gets shorter, falls into two, or ends.
    fn go<O, F>(&mut self, time: i64, change: Group<A>, gap: i64, touched: &mut Touched<O, F>)
    where
        F: FnMut(i64, &Span<A>) -> Option<O>,
    {
        let at = self.times.get_mut(&time).expect("rows go from where they are");
        at.merge(change.clone());
        if at.rows == 0 {
            self.times.remove(&time);
        }
        let start = self.session_of(time);
        let mut span = self.take(start, touched);
        let there = |(time, at): (&i64, &Group<A>)| (at.rows > 0).then_some(*time);
        let before = self.times.range(start..time).rev().find_map(there);
        let after = self.times.range(time..=span.last).find_map(there);
        span.of.merge(change);
        match (before, after) {
            (None, None) => {}
            (None, Some(first)) => self.put(first, span, touched),
            (Some(last), None) => self.put(start, Span { last, ..span }, touched),
            (Some(last), Some(first)) if first.saturating_sub(last) < gap => self.put(start, span, touched),
            (Some(last), Some(first)) => {
                let second = Span { last: span.last, of: self.sum(first, span.last) };
                self.put(start, Span { last, of: self.sum(start, last) }, touched);
                self.put(first, second, touched);
            }
        }
    }

    /// What all of these times come to.
    fn sum(&self, first: i64, last: i64) -> Group<A> {
        let mut sum = Group::default();
        self.times.range(first..=last).filter(|(_, at)| at.rows > 0).for_each(|(_, at)| sum.merge(at.clone()));
        sum
    }

    /// The start of the session that a time is in.
    fn session_of(&self, time: i64) -> i64 {
        *self.sessions.range(..=time).next_back().expect("each time with rows is in a session").0
    }

    fn put<O, F>(&mut self, start: i64, span: Span<A>, touched: &mut Touched<O, F>) {
        touched.now.insert(start);
        self.sessions.insert(start, span);
    }

    fn take<O, F>(&mut self, start: i64, touched: &mut Touched<O, F>) -> Span<A>
    where
        F: FnMut(i64, &Span<A>) -> Option<O>,
    {
        let span = self.sessions.remove(&start).expect("it is known by its start");
        touched.change(start, &span);
        touched.now.remove(&start);
        span
    }
}

impl<O, F> Touched<O, F> {
    /// Remembers what a session was, if nothing has touched it yet; it is about to change.
    fn change<A>(&mut self, start: i64, span: &Span<A>)
    where
        F: FnMut(i64, &Span<A>) -> Option<O>,
    {
        if self.now.insert(start) {
            self.before.insert(start, (self.result)(start, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies changes of times; answers `start..end:rows` of sessions that go (`-`) and come (`+`), in order.
    fn changed(sessions: &mut Sessions<()>, changes: &[(i64, i64)]) -> String {
        let mut by_time = ByTime::<()>::default();
        changes.iter().for_each(|(time, times)| by_time.add((*time, ()), *times));
        let mut out = Vec::new();
        let result = |session: Session, of: &Group<()>| Some((session.start, session.end, of.rows));
        sessions.change(by_time, 10, result, |(start, end, rows), diff| {
            out.push(format!("{}{start}..{end}:{rows}", if diff > 0 { '+' } else { '-' }));
        });
        out.join(" ")
    }

    #[test]
    fn rows_join_sessions_and_part_them() {
        let mut sessions = Sessions::default();
        assert_eq!(changed(&mut sessions, &[(0, 1), (9, 1), (19, 2)]), "+0..19:2 +19..29:2", "a gap apart is apart");
        assert_eq!(changed(&mut sessions, &[(14, 1)]), "-0..19:2 +0..29:5 -19..29:2");
        assert_eq!(changed(&mut sessions, &[(9, -1)]), "-0..29:5 +0..10:1 +14..29:3");
        assert_eq!(changed(&mut sessions, &[(14, -1)]), "+19..29:2 -14..29:3");
        assert_eq!(changed(&mut sessions, &[(19, -1)]), "-19..29:2 +19..29:1");
        assert_eq!(changed(&mut sessions, &[(19, -1), (0, -1)]), "-0..10:1 -19..29:1");
        assert!(sessions.is_empty());
    }

    #[test]
    fn what_an_epoch_replaces_keeps_a_session_together() {
        let mut sessions = Sessions::default();
        changed(&mut sessions, &[(0, 1), (9, 1), (17, 1)]);
        assert_eq!(changed(&mut sessions, &[(9, -1), (8, 1)]), "", "from the same start to the same end");
        assert_eq!(changed(&mut sessions, &[(0, -1), (1, 1)]), "+1..27:3 -0..27:3");
    }

    #[test]
    fn times_at_the_ends_of_what_there_is_are_times() {
        let mut sessions = Sessions::default();
        let ends = [(i64::MIN, 1), (i64::MAX, 1)];
        let expected = format!("+{}..{}:1 +{}..{}:1", i64::MIN, i64::MIN + 10, i64::MAX, i64::MAX);
        assert_eq!(changed(&mut sessions, &ends), expected);
    }
}
