//! All series of a table, and the rows of none.

use std::any::Any;
use std::cmp::{Ordering, Reverse};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::record::{Generational, Refusal, Role, Stage};
use super::series::{Rules, Series};
use crate::table::Tick;
use crate::table::candidates::Candidates;
use crate::table::fold::Fold;
use crate::table::outcome::{Found, Output};
use crate::table::rows::Rows;

/// The rows of a table, by operation.
#[derive(Debug)]
pub(super) struct Generations<R> {
    rules: Rules,
    /// Those that belong to no operation.
    free: Rows<R>,
    series: Vec<Series<R>>,
    /// `(route, place in the list)`
    places: HashTable<(u64, u32)>,
    refused: Vec<(R, Refusal)>,
    hidden: u64,
}

/// The records of an epoch.
#[derive(Debug)]
pub(super) struct Arrived<R> {
    rows: Candidates<R>,
    /// All of them: an operation that is finished and then canceled is not one that is canceled.
    operations: Vec<(u64, Stage, R)>,
}

impl<R> Default for Arrived<R> {
    fn default() -> Self {
        Arrived { rows: Candidates::default(), operations: Vec::new() }
    }
}

impl<R: Generational + Clone> Default for Generations<R> {
    fn default() -> Self {
        Generations::new(Rules::default())
    }
}

impl<R: Generational + Clone> Generations<R> {
    pub(super) fn new(rules: Rules) -> Self {
        Generations {
            rules,
            free: Rows::new(rules.remember, rules.keep_ns),
            series: Vec::new(),
            places: HashTable::new(),
            refused: Vec::new(),
            hidden: 0,
        }
    }

    fn find(&self, record: &R) -> Option<&Series<R>> {
        let route = record.route();
        let same = |(of, at): &(u64, u32)| *of == route && self.series[*at as usize].sample.same_series(record);
        self.places.find(route, same).map(|(_, at)| &self.series[*at as usize])
    }

    /// The place of the record's series, which is made if there is none.
    fn place(&mut self, record: &R) -> u32 {
        let route = record.route();
        let series = &mut self.series;
        let same = |(of, at): &(u64, u32)| *of == route && series[*at as usize].sample.same_series(record);
        match self.places.entry(route, same, |(route, _)| *route) {
            Entry::Occupied(occupied) => occupied.get().1,
            Entry::Vacant(vacant) => {
                let at = u32::try_from(series.len()).expect("fewer than 2^32 series a worker");
                series.push(Series::new(record.clone()));
                vacant.insert((route, at));
                at
            }
        }
    }

    fn series_of(&mut self, record: &R) -> &mut Series<R> {
        let at = self.place(record);
        &mut self.series[at as usize]
    }

    /// Changes series, and keeps count of what is not shown in them.
    fn change<T>(&mut self, at: u32, change: impl FnOnce(&mut Series<R>) -> T) -> T {
        let series = &mut self.series[at as usize];
        let before = series.hidden();
        let result = change(series);
        self.hidden = self.hidden + series.hidden() - before;
        result
    }

    /// Takes in what the records of an epoch say of operations, in their order. The places of their series.
    fn advance(
        &mut self,
        epoch: u64,
        mut operations: Vec<(u64, Stage, R)>,
        found: &mut Found,
        out: &mut impl Output<R>,
    ) -> Vec<u32> {
        let rules = self.rules;
        operations.sort_by(|(_, _, a), (_, _, b)| in_order(a, b));
        let mut touched = Vec::new();
        for (number, stage, record) in operations {
            if stage == Stage::Started && self.find(&record).is_none() {
                continue;
            }
            let at = self.place(&record);
            touched.push(at);
            match self.change(at, |series| series.advance(epoch, (number, stage), &record, rules, out)) {
                Ok(of_record) => *found += of_record,
                Err(refusal) => self.refused.push((record, refusal)),
            }
        }
        touched
    }

    /// Repeats an epoch: first what is not shown yet, then what is said of operations, then what is shown since before, so that
    /// a swap emits what it emitted.
    fn repeat_epoch(&mut self, epoch: u64, sealed: impl Iterator<Item = R>, show: &mut impl FnMut(&R, isize)) {
        let rules = self.rules;
        let (mut touched, mut later) = (Vec::new(), Vec::new());
        for record in sealed {
            let role = record.role();
            if role == Role::Free {
                self.free.replay(epoch, record, show);
                continue;
            }
            let at = self.place(&record);
            touched.push(at);
            match role {
                Role::Row(number) if self.series[at as usize].is_shown(number) => later.push((at, number, record)),
                Role::Row(number) => {
                    self.change(at, |series| series.repeat(epoch, number, record, rules, &mut |_, _| ()));
                }
                Role::Operation(number, stage) => self.series[at as usize].end(epoch, number, stage, &record, rules),
                Role::Free => (),
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for at in &touched {
            self.change(*at, |series| series.look(rules, show));
        }
        for (at, number, record) in later {
            self.change(at, |series| series.repeat(epoch, number, record, rules, show));
        }
        for at in touched {
            self.change(at, Series::prune);
        }
    }
}

fn in_order<R: Generational>(a: &R, b: &R) -> Ordering {
    a.is_after(b).cmp(&b.is_after(a))
}

impl<R: Generational + Clone + Send + 'static> Fold<R> for Generations<R> {
    type Live = R;
    type State = R;
    type Arrived = Arrived<R>;
    type Refusal = Refusal;
    const REFUSES: bool = true;

    fn route(record: &R) -> u64 {
        record.route()
    }

    fn arrive(arrived: &mut Arrived<R>, records: impl Iterator<Item = R>) {
        records.for_each(|record| match record.role() {
            Role::Free | Role::Row(_) => arrived.rows.offer(record),
            Role::Operation(number, Some(stage)) => arrived.operations.push((number, stage, record)),
            // It says nothing.
            Role::Operation(_, None) => (),
        });
    }

    fn close(&mut self, epoch: u64, arrived: Arrived<R>, out: &mut impl Output<R>) -> Found {
        let (newest, mut found) = arrived.rows.finish();
        let mut touched = self.advance(epoch, arrived.operations, &mut found, out);
        let (mut free, mut rows) = (Vec::new(), Vec::new());
        for record in newest {
            match record.role() {
                Role::Row(number) => rows.push((self.place(&record), number, record)),
                _ => free.push(record),
            }
        }
        if !free.is_empty() {
            found += self.free.apply(epoch, free, out);
        }
        // Stable: records that came together stay together.
        rows.sort_by_key(|(at, number, _)| (*at, Reverse(*number)));
        touched.extend(rows.iter().map(|(at, ..)| *at));
        touched.sort_unstable();
        touched.dedup();
        let (rules, mut rows) = (self.rules, rows.into_iter().peekable());
        for at in touched {
            let of_series =
                std::iter::from_fn(|| rows.next_if(|(of, ..)| *of == at)).map(|(_, number, row)| (number, row));
            found += self.change(at, |series| series.close(epoch, of_series.peekable(), rules, out));
        }
        found
    }

    fn take_refused(&mut self) -> Vec<(R, Refusal)> {
        std::mem::take(&mut self.refused)
    }

    fn expire(&mut self, epoch: u64, _tick: Tick, out: &mut impl Output<R>) -> u64 {
        if self.rules.keep_ns.is_none() {
            return 0;
        }
        let of_series: u64 = self.series.iter_mut().map(|series| series.expire(epoch, out)).sum();
        self.free.expire(epoch, out) + of_series
    }

    fn load(&mut self, epoch: u64, record: R) {
        let rules = self.rules;
        match record.role() {
            Role::Free => self.free.load(epoch, record),
            Role::Row(number) => self.series_of(&record).load(epoch, number, record, rules),
            Role::Operation(number, stage) => self.series_of(&record).end(epoch, number, stage, &record, rules),
        }
    }

    fn settle(&mut self) {
        self.free.settle();
        self.series.iter_mut().for_each(|series| series.settle(self.rules));
        self.series.retain(|series| !series.is_empty());
        self.places.clear();
        for (at, series) in (0..).zip(&self.series) {
            self.places.insert_unique(series.sample.route(), (series.sample.route(), at), |(route, _)| *route);
        }
        self.hidden = self.series.iter().map(Series::hidden).sum();
    }

    fn repeat(&mut self, mut sealed: Vec<(u64, R)>, out: &mut impl Output<R>) {
        let mut show = |row: &R, diff| out.show(row, diff);
        // Several epochs may be shown as one: in their order.
        sealed.sort_by_key(|(epoch, _)| *epoch);
        let mut sealed = sealed.into_iter().peekable();
        while let Some(epoch) = sealed.peek().map(|(epoch, _)| *epoch) {
            let of_epoch = std::iter::from_fn(|| sealed.next_if(|(of, _)| *of == epoch)).map(|(_, record)| record);
            self.repeat_epoch(epoch, of_epoch, &mut show);
        }
    }

    fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    fn get(&mut self, key: &R) -> Option<R> {
        self.find_row(key).cloned()
    }

    fn iter(&mut self) -> impl Iterator<Item = R> {
        self.rows().cloned()
    }

    fn count(&self) -> usize {
        self.rows().count()
    }

    fn drain(&mut self) -> impl Iterator<Item = R> {
        self.free.drain().chain(self.series.iter_mut().filter_map(Series::rows_mut).flat_map(Rows::drain))
    }

    fn hidden(&self) -> u64 {
        self.hidden
    }

    fn take(&mut self) -> Box<dyn Any + Send> {
        Box::new(std::mem::take(self))
    }
}

impl<R: Generational + Clone + Send + 'static> Generations<R> {
    fn find_row(&self, key: &R) -> Option<&R> {
        match key.role() {
            Role::Free => self.free.get(key),
            Role::Row(number) => self.find(key).filter(|series| series.is_shown(number))?.rows()?.get(key),
            Role::Operation(..) => None,
        }
    }

    fn rows(&self) -> impl Iterator<Item = &R> {
        self.free.iter().chain(self.series.iter().filter_map(Series::rows).flat_map(Rows::iter))
    }
}
