//! Sends each event to the code that is for events of its type.

use std::collections::HashMap;
use std::fmt;

use super::{Event, Publisher};
use crate::machine::{Codec, DecodeError};

type Handler = Box<dyn FnMut(&Event) -> Result<(), DecodeError> + Send>;

/// Handlers by type of event: a [`Publisher`], or called with what a subscription delivers.
///
/// ```
/// use quorate::event_store::{Dispatcher, Event};
///
/// let mut dispatcher = Dispatcher::new()
///     .on("placed", |event: &Event, what: String| println!("{}: {what}", event.aggregate))
///     .on("paid", |_: &Event, cents: u64| println!("{cents} cents"))
///     .otherwise(|event| println!("and {}", event.event_type));
/// # let _ = &mut dispatcher;
/// ```
#[derive(Default)]
pub struct Dispatcher {
    handlers: HashMap<String, Handler>,
    otherwise: Option<Handler>,
}

impl Dispatcher {
    /// Handles nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Events of `event_type` go to `handler`, with the value that their data is the byte form of ([`Event::value`]). A second
    /// handler for the same type takes the place of the first.
    #[must_use]
    pub fn on<T: Codec>(
        mut self,
        event_type: impl Into<String>,
        mut handler: impl FnMut(&Event, T) + Send + 'static,
    ) -> Self {
        let typed: Handler = Box::new(move |event| {
            handler(event, event.value()?);
            Ok(())
        });
        self.handlers.insert(event_type.into(), typed);
        self
    }

    /// Events of all other types go to `handler`. Without this they are passed over.
    #[must_use]
    pub fn otherwise(mut self, mut handler: impl FnMut(&Event) + Send + 'static) -> Self {
        self.otherwise = Some(Box::new(move |event| {
            handler(event);
            Ok(())
        }));
        self
    }

    /// Handles an event; `false` if nobody does. An error says that its data is not what its handler takes.
    pub fn dispatch(&mut self, event: &Event) -> Result<bool, DecodeError> {
        let handler = self.handlers.get_mut(&event.event_type).or(self.otherwise.as_mut());
        handler.map_or(Ok(false), |handler| handler(event).map(|()| true))
    }
}

/// What does not decode is logged.
impl Publisher for Dispatcher {
    fn publish(&mut self, events: &[Event]) {
        for event in events {
            if let Err(error) = self.dispatch(event) {
                log::error!("{event:?} does not decode: {error}");
            }
        }
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("types", &self.handlers.keys()).finish_non_exhaustive()
    }
}
