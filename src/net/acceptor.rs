//! Takes connections from the listening socket, and survives the hour when the process has no file descriptor left: the
//! connections that stand go on, and the socket is tried again a little later.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

/// How long to leave the listening socket alone after it failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What can be accepted from.
pub(super) trait Listening {
    type Socket;
    fn accept(&self) -> io::Result<(Self::Socket, SocketAddr)>;
}

impl Listening for TcpListener {
    type Socket = TcpStream;
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self)
    }
}

/// The listening socket and when to look at it.
#[derive(Debug)]
pub(super) struct Acceptor<L> {
    listener: L,
    /// Somebody may be waiting there.
    ready: bool,
    /// Not before then.
    resume_at: Option<Instant>,
}

impl<L: Listening> Acceptor<L> {
    pub(super) fn new(listener: L) -> Self {
        Self { listener, ready: true, resume_at: None }
    }

    /// The loop saw somebody knock.
    pub(super) fn knocked(&mut self) {
        self.ready = true;
    }

    /// The next one who waits; an error says why nobody can be let in for now.
    pub(super) fn next(&mut self, now: Instant) -> io::Result<Option<(L::Socket, SocketAddr)>> {
        if !self.is_ready(now) {
            return Ok(None);
        }
        self.resume_at = None;
        loop {
            match self.listener.accept() {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.ready = false;
                        return Ok(None);
                    }
                    // Who left before being let in is no failure of ours.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        self.resume_at = Some(now + PAUSE);
                        return Err(error);
                    }
                },
            }
        }
    }

    /// Whether [`Acceptor::next`] would look.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.ready && self.resume_at.is_none_or(|at| at <= now)
    }

    /// When to look again, after a failure.
    pub(super) fn resume_at(&self) -> Option<Instant> {
        self.resume_at
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;
    use crate::net::clock;

    /// Answers by a script; `None` at its end means that nobody waits.
    struct Script(RefCell<VecDeque<io::Error>>);

    impl Listening for Script {
        type Socket = ();
        fn accept(&self) -> io::Result<((), SocketAddr)> {
            match self.0.borrow_mut().pop_front() {
                Some(error) => Err(error),
                None => Ok(((), SocketAddr::from(([127, 0, 0, 1], 1)))),
            }
        }
    }

    fn acceptor(errors: impl IntoIterator<Item = io::Error>) -> Acceptor<Script> {
        Acceptor::new(Script(RefCell::new(errors.into_iter().collect())))
    }

    #[test]
    fn without_file_descriptors_the_socket_rests_and_is_tried_again_without_another_knock() {
        const EMFILE: i32 = 24;
        let now = clock::now();
        let mut acceptor = acceptor([io::Error::from_raw_os_error(EMFILE)]);

        assert!(acceptor.next(now).is_err());
        assert!(acceptor.next(now).unwrap().is_none(), "it rests");

        let later = acceptor.resume_at().unwrap();
        assert!(acceptor.next(later).unwrap().is_some());
    }

    #[test]
    fn who_left_before_being_let_in_keeps_nobody_out() {
        let mut acceptor = acceptor([ErrorKind::ConnectionAborted.into(), ErrorKind::Interrupted.into()]);

        assert!(acceptor.next(clock::now()).unwrap().is_some());
    }

    #[test]
    fn when_nobody_waits_the_next_knock_is_awaited() {
        let mut acceptor = acceptor([ErrorKind::WouldBlock.into()]);
        let now = clock::now();

        assert!(acceptor.next(now).unwrap().is_none());
        assert!(!acceptor.is_ready(now));

        acceptor.knocked();
        assert!(acceptor.next(now).unwrap().is_some());
    }
}
