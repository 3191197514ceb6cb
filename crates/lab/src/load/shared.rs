//! Connections that clients share, for protocols whose answers tell whose they are, or come in order.
//!
//! Requests that are made at about the same time leave in one write, and answers that arrive together are read at once,
//! as with the libraries of such protocols. One task for each connection moves the bytes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use super::wire::{READ_BYTES, connect, receive};
use super::{Answer, Client, Failure, Protocol, Read, Target};

/// A protocol that carries the requests of several clients on one connection.
pub trait Multiplexed: Protocol {
    /// Which of the connection's clients the answer at the front is for, out of range if it is none of them; `oldest` is the
    /// one that waits for the oldest unanswered request.
    fn whose(&self, input: &[u8], oldest: usize) -> usize;
}

/// A target that speaks a [`Multiplexed`] protocol.
#[derive(Debug)]
pub struct Shared<P> {
    /// What is said.
    pub protocol: P,
    /// How many clients share a connection, at most; never those of different threads.
    pub share: usize,
}

impl<P: Multiplexed> Target for Shared<P> {
    type Client = SharedClient<P>;

    fn clients(self: &Arc<Self>, count: usize) -> Vec<SharedClient<P>> {
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            let share = self.share.min(count - clients.len());
            let memories = (0..share).map(|_| self.protocol.memory()).collect();
            let group = Rc::new(Group {
                speaker: Speaker { target: Arc::clone(self), memories: Rc::new(RefCell::new(memories)) },
                connection: RefCell::new(None),
                opening: Mutex::new(()),
            });
            clients.extend((0..share).map(|place| SharedClient {
                group: Rc::clone(&group),
                place,
                open: None,
            }));
        }
        clients
    }
}

/// The clients of one connection, which is opened again after it broke.
struct Group<P: Multiplexed> {
    speaker: Speaker<P>,
    connection: RefCell<Option<Rc<Connection>>>,
    opening: Mutex<()>,
}

/// Who knows the protocol.
struct Speaker<P: Multiplexed> {
    target: Arc<Shared<P>>,
    /// One for each client, by its place.
    memories: Rc<RefCell<Vec<P::Memory>>>,
}

/// An open connection. Dropping the last client's share ends its task.
struct Connection {
    desk: Rc<Desk>,
    _task: JoinSet<()>,
}

/// Where the clients of a connection and its task meet.
struct Desk {
    /// Requests that are not written yet.
    output: RefCell<Vec<u8>>,
    /// The places of those who asked and have no answer yet, oldest first. Only its length is right where answers come out
    /// of order.
    order: RefCell<VecDeque<usize>>,
    asked: Notify,
    /// Where each client waits, by its place.
    slots: Vec<Slot>,
    is_broken: Cell<bool>,
}

#[derive(Default)]
struct Slot {
    waits: Cell<bool>,
    answer: Cell<Option<Result<Answer, Failure>>>,
    answered: Notify,
}

/// One client of a [`Shared`] target.
pub struct SharedClient<P: Multiplexed> {
    group: Rc<Group<P>>,
    place: usize,
    open: Option<Rc<Connection>>,
}

impl<P: Multiplexed> Client for SharedClient<P> {
    async fn connect(&mut self) -> Result<(), Failure> {
        // One at a time: what is said to one connection would also come on another that is being opened.
        let _opening = self.group.opening.lock().await;
        if self.group.standing().is_none() {
            let opened = self.group.open().await?;
            *self.group.connection.borrow_mut() = Some(Rc::new(opened));
        }
        self.open = self.group.standing();
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|connection| !connection.desk.is_broken.get())
    }

    async fn call(&mut self) -> Result<Answer, Failure> {
        let Some(connection) = self.open.clone().filter(|it| !it.desk.is_broken.get()) else {
            return Err(Failure::Unsent);
        };
        let desk = &*connection.desk;
        let slot = &desk.slots[self.place];
        slot.waits.set(true);
        let _waiting = Waiting { desk, slot };
        self.group.speaker.ask(self.place, &mut desk.output.borrow_mut());
        desk.order.borrow_mut().push_back(self.place);
        desk.asked.notify_one();
        loop {
            if let Some(answer) = slot.answer.take() {
                return answer;
            }
            slot.answered.notified().await;
        }
    }
}

/// A client that waits. If it gives up, its connection is broken: its answer would be taken for that of its next request.
struct Waiting<'a> {
    desk: &'a Desk,
    slot: &'a Slot,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.slot.waits.get() {
            self.desk.fail(Failure::Closed);
        }
    }
}

impl Desk {
    fn new(clients: usize) -> Self {
        Self {
            output: RefCell::default(),
            order: RefCell::default(),
            asked: Notify::new(),
            slots: (0..clients).map(|_| Slot::default()).collect(),
            is_broken: Cell::new(false),
        }
    }

    /// Writes all requests that there are by now.
    async fn write(&self, stream: &mut TcpStream) -> Result<(), Failure> {
        let output = std::mem::take(&mut *self.output.borrow_mut());
        if !output.is_empty() {
            stream.write_all(&output).await.map_err(|_| Failure::Closed)?;
        }
        Ok(())
    }

    /// Tells who waits at a place. False if nobody does.
    #[must_use]
    fn tell(&self, place: usize, answer: Result<Answer, Failure>) -> bool {
        let waiting = self.slots.get(place).filter(|slot| slot.waits.replace(false));
        if let Some(slot) = waiting {
            slot.answer.set(Some(answer));
            slot.answered.notify_one();
        }
        waiting.is_some()
    }

    fn fail(&self, failure: Failure) {
        self.is_broken.set(true);
        for place in 0..self.slots.len() {
            // Who does not wait has nothing to be told.
            let _ = self.tell(place, Err(failure));
        }
    }
}

impl<P: Multiplexed> Group<P> {
    fn standing(&self) -> Option<Rc<Connection>> {
        self.connection.borrow().clone().filter(|connection| !connection.desk.is_broken.get())
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let speaker = self.speaker.clone();
        let protocol = &self.speaker.target.protocol;
        let mut stream = connect(protocol.address()).await?;
        let mut input = BytesMut::with_capacity(READ_BYTES);
        let desk = Rc::new(Desk::new(speaker.memories.borrow().len()));
        let mut awaited = protocol.open(&speaker.memories.borrow(), &mut desk.output.borrow_mut());
        while awaited > 0 {
            desk.write(&mut stream).await.map_err(|_| Failure::NotConnected)?;
            receive(&mut stream, &mut input).await.map_err(|_| Failure::NotConnected)?;
            let taken = speaker.take(&mut input, &desk, |_, _| true).map_err(|_| Failure::NotConnected)?;
            // More, if something comes late for the connection before it.
            awaited = awaited.saturating_sub(taken);
        }
        let served = Rc::clone(&desk);
        let mut task = JoinSet::new();
        task.spawn_local(async move {
            if let Err(failure) = speaker.serve(stream, input, &served).await {
                served.fail(failure);
            }
        });
        Ok(Connection { desk, _task: task })
    }
}

impl<P: Multiplexed> Clone for Speaker<P> {
    fn clone(&self) -> Self {
        Self { target: Arc::clone(&self.target), memories: Rc::clone(&self.memories) }
    }
}

impl<P: Multiplexed> Speaker<P> {
    fn ask(&self, place: usize, output: &mut Vec<u8>) {
        self.target.protocol.request(&mut self.memories.borrow_mut()[place], output);
    }

    /// Moves bytes until the connection breaks.
    async fn serve(&self, mut stream: TcpStream, mut input: BytesMut, desk: &Desk) -> Result<(), Failure> {
        loop {
            desk.write(&mut stream).await?;
            tokio::select! {
                biased;
                // First, so that those who are answered together ask together again.
                () = desk.asked.notified() => {}
                received = receive(&mut stream, &mut input) => {
                    received?;
                    self.take(&mut input, desk, |place, answer| desk.tell(place, Ok(answer)))?;
                }
            }
        }
    }

    /// Takes all that is whole off the input; returns how many answers that was.
    fn take(
        &self,
        input: &mut BytesMut,
        desk: &Desk,
        tell: impl Fn(usize, Answer) -> bool,
    ) -> Result<usize, Failure> {
        let (protocol, mut memories) = (&self.target.protocol, self.memories.borrow_mut());
        let mut order = desk.order.borrow_mut();
        let mut answers = 0;
        loop {
            let place = protocol.whose(input, order.front().copied().unwrap_or(usize::MAX));
            // What is nobody's answer is read by the first.
            let reader = if place < memories.len() { place } else { 0 };
            match protocol.read(&mut memories[reader], input) {
                Read::Part => return Ok(answers),
                Read::Other(bytes) => input.advance(bytes),
                Read::Asked(bytes, answer) => {
                    input.advance(bytes);
                    desk.output.borrow_mut().extend_from_slice(answer);
                }
                Read::Answer(bytes, answer) => {
                    input.advance(bytes);
                    order.pop_front();
                    answers += 1;
                    if !tell(place, answer) {
                        return Err(Failure::Malformed);
                    }
                }
                Read::Malformed => return Err(Failure::Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests;
