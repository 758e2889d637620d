//! One client: a thread that reads its requests and hands them to the node at once, and a thread that writes the
//! answers in the order of the requests. Between them is a queue of tickets: many requests are under way together, so
//! that one client with a pipeline fills whole batches.
//!
//! # Order
//! Requests of one client take effect in the order in which they came. Writes are submitted in that order. A read behind
//! an unanswered write goes through the log with it, in the same batch. A write behind an unanswered read waits for that
//! read: it could overtake it otherwise. An operator's wish (RAFT ADD and its like) waits for all that came before it,
//! and what comes behind waits for it: for that long this client's requests are not read, and nobody else's are held up.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use quorate::{Node, ProposeError, ReadError, Ticket};

use super::command::{Command, Response};
use super::flight::Flight;
use super::limits::IN_FLIGHT_MAX;
use super::outcome::{ask_failed, read_failed, write_failed};
use super::parser::{Garbage, Parsed, Parser};
use super::raft::Raft;
use super::reply::Reply;
use super::request::{self, Request};
use super::session::Session;
use super::store::Store;

const READ_BYTES: usize = 64 << 10;
const WRITE_BYTES: usize = 64 << 10;
/// A client that takes nothing for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// Serves one client until it leaves.
pub(crate) fn serve(stream: &TcpStream, id: u64, node: &Node<Store>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let flight = Flight::default();
    let (pending, queue) = crossbeam_channel::bounded(IN_FLIGHT_MAX);
    thread::scope(|scope| {
        let writer = Writer { stream, flight: &flight, out: Vec::new() };
        let thread = thread::Builder::new().name(format!("kv-writer-{id}")).stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, move || writer.run(&queue))?;
        let session = Session::new(id);
        Reader { stream, node, session, flight: &flight, pending, number: 0, last_write: 0, last_read: 0 }
            .run()
    })
}

/// A request whose answer is due, and what it counts in bytes.
struct Due {
    answer: Answer,
    bytes: usize,
}

enum Answer {
    Here(Reply),
    Write(Ticket<Response, ProposeError>),
    /// A read that stands in the log, between this client's writes.
    Ask(Ticket<Response, ProposeError>),
    Read(Ticket<Response, ReadError>),
}

struct Reader<'a> {
    stream: &'a TcpStream,
    node: &'a Node<Store>,
    session: Session,
    flight: &'a Flight,
    pending: Sender<Due>,
    /// How many requests came, and which of them was the last to go through the log, and the last that did not.
    number: u64,
    last_write: u64,
    last_read: u64,
}

impl Reader<'_> {
    fn run(mut self) -> io::Result<()> {
        let mut parser = Parser::default();
        let mut piece = vec![0; READ_BYTES];
        loop {
            loop {
                let goes_on = match parser.next() {
                    Ok(None) => break,
                    Ok(Some(Parsed::Request { arguments, bytes })) => self.take(&arguments, bytes),
                    Ok(Some(Parsed::Refused { reason })) => self.queue(Answer::Here(Reply::error(reason)), 0),
                    Err(Garbage(reason)) => {
                        self.queue(Answer::Here(Reply::error(format!("Protocol error: {reason}"))), 0);
                        false
                    }
                };
                if !goes_on {
                    return Ok(());
                }
            }
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => parser.feed(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts one request; `false` if it was the last.
    fn take(&mut self, arguments: &[Bytes], bytes: usize) -> bool {
        let Some((first, rest)) = arguments.split_first() else { return true };
        let name = first.to_ascii_uppercase();
        if !self.flight.admit(bytes) {
            return false;
        }
        let answer = match request::of_store(&name, rest) {
            Some(Ok(request)) => self.submit(request),
            Some(Err(refusal)) => Some(Answer::Here(refusal)),
            None if name == b"RAFT" => self.administer(rest).map(Answer::Here),
            None => {
                let reply = self.session.answer(self.node, &name, rest);
                Some(Answer::Here(reply.unwrap_or_else(|| request::unknown_command(first, rest))))
            }
        };
        answer.is_some_and(|answer| self.queue(answer, bytes)) && name != b"QUIT"
    }

    /// Hands a request to the node, behind those that came before it; `None` if the writer is gone.
    fn submit(&mut self, request: Request) -> Option<Answer> {
        let number = self.number + 1;
        let is_unanswered = |earlier: u64| earlier > 0 && earlier > self.flight.answered();
        Some(match request {
            Request::Write(command) => {
                if is_unanswered(self.last_read) && !self.flight.wait_for(self.last_read) {
                    return None;
                }
                self.last_write = number;
                Answer::Write(self.node.submit(command))
            }
            Request::Read(query) if is_unanswered(self.last_write) => {
                self.last_write = number;
                Answer::Ask(self.node.submit(Command::Ask(query)))
            }
            Request::Read(query) => {
                self.last_read = number;
                Answer::Read(self.node.submit_query(query))
            }
        })
    }

    /// Questions are answered at once, wishes in their turn; `None` if the writer is gone.
    fn administer(&self, words: &[Bytes]) -> Option<Reply> {
        Some(match Raft::parse(words) {
            Ok(Raft::Question(question)) => question.answer(self.node),
            Ok(Raft::Wish(wish)) => {
                if !self.flight.wait_for(self.number) {
                    return None;
                }
                wish.carry_out(self.node)
            }
            Err(refusal) => refusal,
        })
    }

    fn queue(&mut self, answer: Answer, bytes: usize) -> bool {
        self.number += 1;
        self.pending.send(Due { answer, bytes }).is_ok()
    }
}

struct Writer<'a> {
    stream: &'a TcpStream,
    flight: &'a Flight,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// Answers in order. What is answered is written when there is much of it, or nothing else to do.
    fn run(mut self, queue: &Receiver<Due>) {
        if let Err(error) = self.answer_all(queue) {
            log::debug!("a client is gone: {error}");
        }
    }

    fn answer_all(&mut self, queue: &Receiver<Due>) -> io::Result<()> {
        loop {
            let due = match queue.try_recv() {
                Ok(due) => due,
                Err(TryRecvError::Disconnected) => return self.flush(),
                Err(TryRecvError::Empty) => {
                    self.flush()?;
                    let Ok(due) = queue.recv() else { return Ok(()) };
                    due
                }
            };
            let reply = match due.answer {
                Answer::Here(reply) => reply,
                Answer::Write(ticket) => {
                    self.wait(ticket)?.map_or_else(|error| write_failed(&error), request::reply)
                }
                Answer::Ask(ticket) => {
                    self.wait(ticket)?.map_or_else(|error| ask_failed(&error), request::reply)
                }
                Answer::Read(ticket) => {
                    self.wait(ticket)?.map_or_else(|error| read_failed(&error), request::reply)
                }
            };
            self.flight.land(due.bytes);
            reply.encode(&mut self.out);
            if self.out.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
    }

    /// Before it sleeps, it writes what it has.
    fn wait<E: quorate::CallError>(
        &mut self,
        ticket: Ticket<Response, E>,
    ) -> io::Result<Result<Response, E>> {
        match ticket.try_wait() {
            Ok(answer) => Ok(answer),
            Err(ticket) => {
                self.flush()?;
                Ok(ticket.wait())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.out.clear();
            self.out.shrink_to(WRITE_BYTES * 2);
        }
        Ok(())
    }
}

impl Drop for Writer<'_> {
    /// However it ended, the reader must not wait for answers or for the client.
    fn drop(&mut self) {
        self.flight.end();
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
