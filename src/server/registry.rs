//! Where connections stand, each found by the token under which the kernel speaks of it.
//!
//! Places are used again, tokens are not: a late event or a late answer to a connection that is gone finds nobody.

use mio::Token;

use super::connection::Connection;

/// The part of a token that says the place. What is left says how often that place was taken before.
const PLACE_BITS: u32 = 20;
const PLACES: usize = 1 << PLACE_BITS;
/// The most connections that can be asked for: those on their way in and out have a place too.
pub(super) const CONNECTIONS_LIMIT: usize = PLACES / 2;

const _: () = assert!(usize::BITS == 64, "a place is taken less than 2^44 times");

/// See the top of this file.
#[derive(Default)]
pub(super) struct Registry {
    places: Vec<Place>,
    free: Vec<usize>,
    count: usize,
}

#[derive(Default)]
struct Place {
    taken: usize,
    connection: Option<Box<Connection>>,
}

impl Registry {
    /// A place for the next connection, under whose token it may be registered before it is [`Registry::put`] there.
    pub(super) fn next_token(&mut self) -> Token {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        assert!(place < PLACES, "connections are limited when they are let in");
        self.places[place].taken += 1;
        Token((self.places[place].taken << PLACE_BITS) | place)
    }

    /// Puts a connection into the place of `token`: a new one, or one that was taken out for a while.
    pub(super) fn put(&mut self, token: Token, connection: Box<Connection>) {
        let before = self.place(token).map(|place| place.connection.replace(connection));
        assert!(matches!(before, Some(None)), "a place belongs to one connection");
        self.count += 1;
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut Connection> {
        self.place(token)?.connection.as_deref_mut()
    }

    /// Takes a connection out; its place stays its own.
    pub(super) fn take(&mut self, token: Token) -> Option<Box<Connection>> {
        let taken = self.place(token)?.connection.take()?;
        self.count -= 1;
        Some(taken)
    }

    /// The place of `token`, at which nobody stands any more, may be taken by others.
    pub(super) fn give_up(&mut self, token: Token) {
        let is_left = self.place(token).is_some_and(|place| place.connection.is_none());
        assert!(is_left, "a place is given up by who has left it");
        self.places[token.0 % PLACES].taken += 1;
        self.free.push(token.0 % PLACES);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Token, &Connection)> {
        self.places.iter().enumerate().filter_map(|(nth, place)| {
            let connection = place.connection.as_deref()?;
            Some((Token((place.taken << PLACE_BITS) | nth), connection))
        })
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        self.iter().map(|(token, _)| token).collect()
    }

    fn place(&mut self, token: Token) -> Option<&mut Place> {
        let place = self.places.get_mut(token.0 % PLACES)?;
        (place.taken == token.0 >> PLACE_BITS).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::net::clock;

    fn connection() -> Box<Connection> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = mio::net::TcpStream::from_std(socket);
        Box::new(Connection::new(socket, address, Box::default(), 1000, clock::now()))
    }

    #[test]
    fn a_place_is_used_again_and_a_token_never() {
        let mut registry = Registry::default();
        let first = registry.next_token();
        registry.put(first, connection());
        let second = registry.next_token();
        registry.put(second, connection());

        drop(registry.take(first).expect("it stands there"));
        assert!(registry.get_mut(first).is_none());
        registry.give_up(first);
        let third = registry.next_token();
        registry.put(third, connection());

        assert_eq!(registry.places.len(), 2);
        assert!(first != third && second != third);
        assert!(registry.get_mut(first).is_none() && registry.take(first).is_none());
        assert!(registry.get_mut(second).is_some() && registry.get_mut(third).is_some());
        assert_eq!(registry.tokens(), [third, second]);
    }

    #[test]
    fn who_is_taken_out_for_a_while_finds_its_place_kept() {
        let mut registry = Registry::default();
        let token = registry.next_token();
        registry.put(token, connection());

        let taken = registry.take(token).expect("it stands there");
        assert!(registry.is_empty());
        assert_ne!(registry.next_token(), token);
        registry.put(token, taken);

        assert!(registry.get_mut(token).is_some());
    }
}
