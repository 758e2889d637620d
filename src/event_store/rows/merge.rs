//! Reading several layers as one table: of a key that stands in more than one, the newest counts.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::Basis;
use super::base::BaseRange;
use super::layer::{Found, Layer};
use crate::event_store::error::StoreError;
use crate::event_store::tables::Table;

/// Rows in the order of their keys. Ends after the first error.
pub(crate) struct Range {
    /// Newest first.
    sources: Vec<Source>,
}

impl Range {
    pub(super) fn new(
        basis: &Basis,
        batch: u64,
        table: Table,
        from: &[u8],
        until: Bound<&[u8]>,
    ) -> Result<Self, StoreError> {
        let mut sources = Vec::with_capacity(3);
        for layer in basis.layers() {
            let rows = LayerRows {
                layer: Arc::clone(layer),
                batch,
                table,
                from: Bound::Included(from.to_vec()),
                until: until.map(<[u8]>::to_vec),
                ahead: Vec::new().into_iter(),
                is_end: false,
                count: FIRST_ROWS,
            };
            sources.push(Source { rows: Kind::Layer(rows), head: None });
        }
        let base = basis.base.range(table, Bound::Included(from), until)?;
        sources.push(Source { rows: Kind::Base(Box::new(base)), head: None });
        for source in &mut sources {
            source.step()?;
        }
        Ok(Self { sources })
    }

    fn step(&mut self) -> Result<Option<(Vec<u8>, Bytes)>, StoreError> {
        loop {
            let heads = self
                .sources
                .iter()
                .enumerate()
                .filter_map(|(nth, source)| Some((&source.head.as_ref()?.0, nth)));
            // Of equal keys the first source is the least, and the newest.
            let Some((_, newest)) = heads.min() else { return Ok(None) };
            let (key, found) = self.sources[newest].head.take().expect("a head that was just seen");
            for (nth, source) in self.sources.iter_mut().enumerate() {
                if nth == newest || source.head.as_ref().is_some_and(|(other, _)| *other == key) {
                    source.step()?;
                }
            }
            if let Some(value) = found {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Iterator for Range {
    type Item = Result<(Vec<u8>, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step();
        if next.is_err() {
            self.sources.clear();
        }
        next.transpose()
    }
}

/// The last row from `from` to `through`.
pub(super) fn last(
    basis: &Basis,
    batch: u64,
    table: Table,
    from: &[u8],
    through: &[u8],
) -> Result<Option<(Vec<u8>, Bytes)>, StoreError> {
    let from = Bound::Included(from);
    let mut until = Bound::Included(through.to_vec());
    loop {
        let upper = until.as_ref().map(Vec::as_slice);
        let in_layers = basis.layers().filter_map(|layer| layer.last(batch, table, (from, upper)));
        let in_base = basis.base.range(table, from, upper)?.next_back().transpose()?;
        let in_base =
            in_base.map(|(key, value)| (key.value().to_vec(), Some(Bytes::copy_from_slice(value.value()))));
        // Of equal keys the first one counts: that of the newest layer.
        let found =
            in_layers.chain(in_base).reduce(|newest, older| if older.0 > newest.0 { older } else { newest });
        match found {
            None => return Ok(None),
            Some((key, Some(value))) => return Ok(Some((key, value))),
            Some((gone, None)) => until = Bound::Excluded(gone),
        }
    }
}

/// One layer's part of a range, and its first row.
struct Source {
    rows: Kind,
    head: Option<(Vec<u8>, Found)>,
}

enum Kind {
    Layer(LayerRows),
    Base(Box<BaseRange>),
}

impl Source {
    fn step(&mut self) -> Result<(), StoreError> {
        self.head = match &mut self.rows {
            Kind::Layer(rows) => rows.next(),
            Kind::Base(rows) => {
                let row = rows.next().transpose()?;
                row.map(|(key, value)| (key.value().to_vec(), Some(Bytes::copy_from_slice(value.value()))))
            }
        };
        Ok(())
    }
}

/// Rows of a layer, some at a time: nobody who writes to it waits long.
struct LayerRows {
    layer: Arc<Layer>,
    batch: u64,
    table: Table,
    from: Bound<Vec<u8>>,
    until: Bound<Vec<u8>>,
    ahead: std::vec::IntoIter<(Vec<u8>, Found)>,
    is_end: bool,
    /// How many are fetched next.
    count: usize,
}

impl LayerRows {
    fn next(&mut self) -> Option<(Vec<u8>, Found)> {
        if let Some(row) = self.ahead.next() {
            return Some(row);
        }
        if self.is_end {
            return None;
        }
        let range = (self.from.as_ref().map(Vec::as_slice), self.until.as_ref().map(Vec::as_slice));
        let rows = self.layer.first(self.batch, self.table, range, self.count);
        self.is_end = rows.len() < self.count;
        if let Some((last, _)) = rows.last() {
            self.from = Bound::Excluded(last.clone());
        }
        self.count = (self.count * 2).min(ROWS_MAX);
        self.ahead = rows.into_iter();
        self.ahead.next()
    }
}

const FIRST_ROWS: usize = 8;
const ROWS_MAX: usize = 256;
