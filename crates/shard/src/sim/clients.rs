//! Clients: each asks for one thing at a time, sends it again as it is allowed to, and remembers what it was told.

use std::collections::BTreeMap;

use mainstay_base::id::{Name, Tenant};
use mainstay_log::faulty::Random;
use mainstay_machine::Command;
use mainstay_machine::shards::Error;

use super::linear::{CALLS_MAX, Call};
use super::model::{Ask, Asked, Result};
use crate::owner::Ticket;

const PARTITIONS: [&str; 3] = ["ann", "ben", "cat"];

/// From so many outcomes on that nobody knows, clients of a place ask until they know: each doubles what an order may be.
const OPEN_MAX: usize = 8;

/// Names a thing that was asked for.
type Number = u64;

/// Something that a client wants.
struct Wish {
    place: usize,
    ask: Ask,
    /// Whether it has an idempotency key, so that it may be sent again.
    has_key: bool,
    begin: u64,
    /// What was sent last and is not answered, and at which step.
    sent: Option<(Ticket, u64)>,
    /// Whether something that was sent may have happened, or come to happen.
    is_in_doubt: bool,
    tries: u32,
}

pub(super) struct Clients {
    pub(super) tenants: Vec<Tenant>,
    /// Partitions, each with whose it is.
    pub(super) places: Vec<(usize, &'static str)>,
    wishes: Vec<Option<Wish>>,
    /// Which client's wish a ticket is.
    tickets: BTreeMap<Ticket, (usize, Number)>,
    numbers: Vec<Number>,
    /// How many outcomes of each place nobody will ever know.
    open: Vec<usize>,
    pub(super) histories: Vec<Vec<Call<Asked>>>,
    /// The last version that was seen of each place's register.
    seen: Vec<Option<u64>>,
    next: u64,
    /// Orders what clients do and see.
    moment: u64,
    /// In how many a wish is given up once it was answered without an outcome.
    pub(super) give_up: u64,
    /// In how many a wish is without an idempotency key.
    pub(super) keyless: u64,
    pub(super) committed: u64,
    pub(super) unknown: u64,
    pub(super) not_done: u64,
}

impl Clients {
    pub(super) fn draw(random: &Random) -> Self {
        let tenants = vec![Tenant::DEFAULT, Tenant::new(Name::from_static("other"))];
        let places: Vec<_> = (0..random.between(1, 4) as usize)
            .map(|place| (random.below(2) as usize, PARTITIONS[place]))
            .collect();
        let count = random.between(1, 7) as usize;
        Self {
            tenants,
            wishes: (0..count).map(|_| None).collect(),
            numbers: vec![0; count],
            tickets: BTreeMap::new(),
            open: vec![0; places.len()],
            histories: vec![Vec::new(); places.len()],
            seen: vec![None; places.len()],
            places,
            next: 1,
            moment: 0,
            give_up: random.between(2, 12),
            keyless: random.between(2, 8),
            committed: 0,
            unknown: 0,
            not_done: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.wishes.len()
    }

    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn draw_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// What this client sends, and whose it is: what it wants, or something new if it wants nothing; a look without a command.
    /// None when its partition has a history of full length.
    pub(super) fn request(&mut self, client: usize, random: &Random) -> Option<(Tenant, Option<Command>)> {
        if self.wishes[client].is_none() {
            let place = random.below(self.places.len() as u64) as usize;
            let open = self.wishes.iter().flatten().filter(|wish| wish.place == place).count();
            // The last places are for what is looked at in the end.
            if self.histories[place].len() + open >= CALLS_MAX - 2 {
                return None;
            }
            let value = self.draw_number();
            let ask = Ask::draw(random, value as i64, self.seen[place]);
            let keyless = if ask.is_idle() { 1 } else { self.keyless };
            let is_enough = self.open[place] >= OPEN_MAX;
            let has_key = !random.one_in(keyless) || (is_enough && !ask.is_idle());
            self.put(client, place, ask, has_key);
        }
        let wish = self.wishes[client].as_ref()?;
        let (tenant, partition) = self.places[wish.place];
        let tenant = self.tenants[tenant].clone();
        let key = wish.has_key.then_some(self.numbers[client]);
        let command = wish.ask.command(&tenant, partition, key);
        Some((tenant, command))
    }

    /// Lets this client want to look at a place, whatever it wanted before.
    pub(super) fn look_at(&mut self, client: usize, place: usize) {
        self.give_up(client);
        self.put(client, place, Ask::Look, false);
    }

    fn put(&mut self, client: usize, place: usize, ask: Ask, has_key: bool) {
        let begin = self.tick();
        self.numbers[client] = self.draw_number();
        let wish = Wish { place, ask, has_key, begin, sent: None, is_in_doubt: false, tries: 0 };
        self.wishes[client] = Some(wish);
    }

    pub(super) fn has_wish(&self, client: usize) -> bool {
        self.wishes[client].is_some()
    }

    /// How many steps ago this client's wish was sent, if it waits for an answer.
    pub(super) fn waits_since(&self, client: usize) -> Option<u64> {
        self.wishes[client].as_ref()?.sent.map(|(_, step)| step)
    }

    pub(super) fn sent(&mut self, client: usize, step: u64) -> Ticket {
        let ticket = Ticket(self.draw_number());
        let wish = self.wishes[client].as_mut().expect("what is sent was wished");
        (wish.sent, wish.tries) = (Some((ticket, step)), wish.tries + 1);
        self.tickets.insert(ticket, (client, self.numbers[client]));
        ticket
    }

    /// The client waits no longer. What it asked for may happen.
    pub(super) fn wait_no_longer(&mut self, client: usize, random: &Random) {
        let Some(wish) = &mut self.wishes[client] else { return };
        wish.sent = None;
        wish.is_in_doubt |= !wish.ask.is_idle();
        self.after_failure(client, random);
    }

    /// What a ticket is for, unless its client waits for it no longer.
    fn take(&mut self, ticket: Ticket) -> Option<usize> {
        let (client, number) = self.tickets.remove(&ticket)?;
        let wish = self.wishes[client].as_ref()?;
        let waits = self.numbers[client] == number && wish.sent.is_some_and(|(sent, _)| sent == ticket);
        waits.then_some(client)
    }

    /// Where the answer to this ticket is waited for.
    pub(super) fn place_of(&self, ticket: Ticket) -> Option<usize> {
        let (client, _) = self.tickets.get(&ticket)?;
        self.wishes[*client].as_ref().map(|wish| wish.place)
    }

    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        answer: std::result::Result<Result, Error>,
        random: &Random,
    ) {
        let Some(client) = self.take(ticket) else { return };
        let wish = self.wishes[client].as_mut().expect("it was just looked at");
        wish.sent = None;
        match answer {
            Ok(result) => {
                let place = wish.place;
                match &result {
                    Result::Seen(items) => self.seen[place] = items[2].map(|(version, _)| version),
                    Result::Committed(version) => self.seen[place] = Some(*version),
                    Result::Removed { .. } | Result::Holds | Result::Refused => {}
                }
                self.committed += 1;
                let end = self.tick();
                self.end(client, Some(end), Some(result));
            }
            Err(Error::OutcomeUnknown { .. }) => {
                self.unknown += 1;
                wish.is_in_doubt |= !wish.ask.is_idle();
                self.after_failure(client, random);
            }
            // Everything else says that nothing was done.
            Err(_) => {
                self.not_done += 1;
                self.after_failure(client, random);
            }
        }
    }

    fn after_failure(&mut self, client: usize, random: &Random) {
        let Some(wish) = &self.wishes[client] else { return };
        let may_repeat = wish.has_key || !wish.is_in_doubt;
        let is_enough = self.open[wish.place] >= OPEN_MAX;
        if !may_repeat || (random.one_in(self.give_up) && !is_enough) {
            self.give_up(client);
        }
    }

    /// The client wants nothing any more. What was not done does not belong to the history.
    pub(super) fn give_up(&mut self, client: usize) {
        let wish = self.wishes[client].as_ref();
        if wish.is_some_and(|wish| !wish.ask.is_idle() && (wish.is_in_doubt || wish.sent.is_some())) {
            self.end(client, None, None);
        }
        self.wishes[client] = None;
    }

    fn end(&mut self, client: usize, end: Option<u64>, result: Option<Result>) {
        let Some(Wish { place, ask, begin, .. }) = self.wishes[client].take() else { return };
        self.open[place] += usize::from(end.is_none());
        self.histories[place].push(Call { begin, end, what: Asked { ask, result } });
    }
}
