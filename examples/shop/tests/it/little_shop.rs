//! A shop as its books have it, without services: each method does to them what the services together would do.
//!
//! Tests of the audit make a sound one, and then something in it wrong; the fake shop sells from it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use shop::audit::{Acknowledged, Books, Looked, Place, Placed, Shown, Sight, Told};
use shop::inventory::stock::{Product, Reservation, Standing, Stock};
use shop::money::Currency;
pub use shop::orders::calls::WELCOME;
use shop::orders::order::{Line, Order, State};
use shop::payments::ledger::{Account, BANK, Kind, MERCHANT, Transfer};

/// Later than everything that is shown.
pub const LATE: Duration = Duration::from_secs(1_000_000);

#[derive(Debug, Clone, Default)]
pub struct LittleShop {
    pub books: Books,
    pub told: Told,
    moment: u64,
}

impl LittleShop {
    /// With both ledgers, and some products.
    pub fn new(products: &[(&str, u64, u64)]) -> Self {
        let mut shop = Self::default();
        for currency in Currency::ALL {
            for (id, may_overdraw) in [(BANK, true), (MERCHANT, false)] {
                let key = (currency.code().to_owned(), id.to_owned());
                shop.books.accounts.insert(key, Account { may_overdraw, ..Account::default() });
            }
        }
        for (sku, price, received) in products {
            let prices = Currency::ALL.into_iter().map(|currency| (currency, *price)).collect();
            let word = |text: &str| text.to_owned();
            let product = Product { name: word(sku), about: word("x"), prices };
            shop.books.products.insert(word(sku), product);
            let stock = Stock { received: *received, available: *received, ..Stock::default() };
            shop.books.stock.insert(word(sku), stock);
        }
        shop
    }

    pub fn account(&mut self, ledger: &str, id: &str) -> &mut Account {
        self.books.accounts.get_mut(&(ledger.to_owned(), id.to_owned())).expect("there is such an account")
    }

    /// A customer with its welcome, unless there is one.
    pub fn customer(&mut self, ledger: &str, id: &str) {
        let key = (ledger.to_owned(), id.to_owned());
        if let Entry::Vacant(vacant) = self.books.accounts.entry(key) {
            vacant.insert(Account::default());
            self.transfer(ledger, &format!("{id}-welcome"), (BANK, id), WELCOME);
        }
    }

    pub fn write(&mut self, ledger: &str, id: &str, transfer: Transfer) {
        self.books.transfers.insert((ledger.to_owned(), id.to_owned()), transfer);
    }

    pub fn transfer(&mut self, ledger: &str, id: &str, (debit, credit): (&str, &str), amount: u64) {
        self.account(ledger, debit).debits_posted += amount;
        self.account(ledger, credit).credits_posted += amount;
        self.write(ledger, id, of(Kind::Transfer, Some((debit, credit)), amount, None));
    }

    pub fn pending(&mut self, ledger: &str, id: &str, (debit, credit): (&str, &str), amount: u64) {
        self.account(ledger, debit).debits_pending += amount;
        self.account(ledger, credit).credits_pending += amount;
        self.write(ledger, id, of(Kind::Pending, Some((debit, credit)), amount, None));
    }

    /// Posts so much of a pending transfer.
    pub fn post(&mut self, ledger: &str, id: &str, pending: &str, amount: u64) {
        let (debit, credit) = self.freed(ledger, pending);
        self.account(ledger, &debit).debits_posted += amount;
        self.account(ledger, &credit).credits_posted += amount;
        self.write(ledger, id, of(Kind::Post, Some((&debit, &credit)), amount, Some(pending)));
    }

    pub fn void(&mut self, ledger: &str, id: &str, pending: &str) {
        let amount = self.transfer_of(ledger, pending).amount;
        let (debit, credit) = self.freed(ledger, pending);
        self.write(ledger, id, of(Kind::Void, Some((&debit, &credit)), amount, Some(pending)));
    }

    /// The void of a pending transfer that was never made, and what keeps it from being made.
    pub fn block(&mut self, ledger: &str, id: &str, pending: &str) {
        self.write(ledger, id, of(Kind::Void, None, 0, Some(pending)));
        self.write(ledger, pending, of(Kind::Blocked, None, 0, None));
    }

    fn transfer_of(&self, ledger: &str, id: &str) -> Transfer {
        self.books.transfers[&(ledger.to_owned(), id.to_owned())].clone()
    }

    fn freed(&mut self, ledger: &str, pending: &str) -> (String, String) {
        let transfer = self.transfer_of(ledger, pending);
        let (debit, credit) = (transfer.debit.unwrap(), transfer.credit.unwrap());
        self.account(ledger, &debit).debits_pending -= transfer.amount;
        self.account(ledger, &credit).credits_pending -= transfer.amount;
        (debit, credit)
    }

    pub fn stock(&mut self, sku: &str) -> &mut Stock {
        self.books.stock.get_mut(sku).expect("there is such a product")
    }

    pub fn reservation(&mut self, sku: &str, order: &str) -> &mut Reservation {
        let key = (sku.to_owned(), order.to_owned());
        self.books
            .reservations
            .entry(key)
            .or_insert(Reservation { quantity: 0, standing: Standing::Released })
    }

    pub fn reserve(&mut self, sku: &str, order: &str, quantity: u64) -> bool {
        let stock = self.stock(sku);
        if stock.available < quantity {
            return false;
        }
        stock.available -= quantity;
        stock.reserved += quantity;
        *self.reservation(sku, order) = Reservation { quantity, standing: Standing::Reserved };
        true
    }

    pub fn ship(&mut self, sku: &str, order: &str) {
        let quantity = self.reservation(sku, order).quantity;
        self.reservation(sku, order).standing = Standing::Shipped;
        self.stock(sku).reserved -= quantity;
        self.stock(sku).shipped += quantity;
    }

    /// Releases a reservation, or keeps one from being made.
    pub fn release(&mut self, sku: &str, order: &str) {
        let Reservation { quantity, standing } = *self.reservation(sku, order);
        if standing == Standing::Reserved {
            self.reservation(sku, order).standing = Standing::Released;
            self.stock(sku).reserved -= quantity;
            self.stock(sku).available += quantity;
        }
    }

    pub fn place(&mut self, customer: &str, id: &str, currency: Currency, lines: &BTreeMap<String, u64>) {
        self.customer(currency.code(), customer);
        let line = |(sku, quantity): (&String, &u64)| Line {
            sku: sku.clone(),
            name: sku.clone(),
            quantity: *quantity,
            price: self.books.products[sku].prices[&currency],
        };
        let lines: Vec<_> = lines.iter().map(line).collect();
        let total = lines.iter().map(|line| line.quantity * line.price).sum();
        let order = Order {
            customer: customer.to_owned(),
            state: State::Placed,
            currency,
            lines,
            total,
            placed_at: 1,
            changed_at: 1,
            open: Some(true),
            fraud: None,
            reason: None,
        };
        self.books.orders.push(Placed { customer: customer.to_owned(), id: id.to_owned(), order });
    }

    pub fn order(&mut self, id: &str) -> &mut Placed {
        self.books.orders.iter_mut().find(|placed| placed.id == id).expect("there is such an order")
    }

    /// Changes the state of an order, and shows it.
    pub fn becomes(&mut self, id: &str, state: State) {
        let order = &mut self.order(id).order;
        order.state = state;
        order.open = (!state.is_final()).then_some(true);
        self.show(id);
    }

    /// One step further, as the services go; orders that cannot be filled or paid fail.
    pub fn step(&mut self, id: &str) {
        let Placed { customer, order, .. } = self.order(id).clone();
        let ledger = order.currency.code();
        let named = |end: &str| format!("{id}-{end}");
        match order.state {
            State::Placed => {
                let is_there = order.lines.iter().all(|line| self.reserve(&line.sku, id, line.quantity));
                self.becomes(id, if is_there { State::Reserved } else { State::Failing });
            }
            State::Reserved if self.account(ledger, &customer).available() < order.total => {
                self.becomes(id, State::Failing);
            }
            State::Reserved => {
                self.pending(ledger, &named("pay"), (&customer, MERCHANT), order.total);
                self.becomes(id, State::Charging);
            }
            State::Charging => {
                self.post(ledger, &named("post"), &named("pay"), order.total);
                self.becomes(id, State::Paid);
            }
            State::Paid => {
                order.lines.iter().for_each(|line| self.ship(&line.sku, id));
                self.books.receipts.insert((customer, id.to_owned()));
                self.becomes(id, State::Shipped);
            }
            State::Failing => {
                order.lines.iter().for_each(|line| self.release(&line.sku, id));
                if self.books.transfers.contains_key(&(ledger.to_owned(), named("pay"))) {
                    self.void(ledger, &named("void"), &named("pay"));
                } else {
                    self.block(ledger, &named("void"), &named("pay"));
                }
                self.becomes(id, State::Failed);
            }
            State::Shipped | State::Failed => {}
        }
    }

    /// To this state or to the end.
    pub fn go_on_to(&mut self, id: &str, state: State) {
        while self.order(id).order.state != state && !self.order(id).order.state.is_final() {
            self.step(id);
        }
    }

    fn shown_now(&mut self, id: &str) -> Shown {
        let (request, began, ended) = self.next();
        let Placed { customer, id, order } = self.order(id).clone();
        Shown {
            customer,
            order: id,
            state: order.state,
            total: order.total,
            currency: order.currency,
            place: Place::Order,
            request,
            began,
            ended,
        }
    }

    /// A request after all others: its number, and when it began and ended.
    fn next(&mut self) -> (u64, Duration, Duration) {
        self.moment += 1;
        let seconds = |seconds| Duration::from_secs(self.moment * 10 + seconds);
        (self.moment, seconds(0), seconds(5))
    }

    /// Shows an order as it is, by a request of its own.
    pub fn show(&mut self, id: &str) {
        let shown = self.shown_now(id);
        self.told.shown.push(shown);
    }

    /// Leads a checkout to an order.
    pub fn acknowledge(&mut self, id: &str) -> &mut Acknowledged {
        let Shown { customer, order, request, began, ended, .. } = self.shown_now(id);
        self.told.acknowledged.push(Acknowledged { customer, order, request, began, ended });
        self.told.acknowledged.last_mut().expect("it was pushed")
    }

    /// Answers a customer which orders there are.
    pub fn look(&mut self, customer: &str, sight: Sight) -> &mut Looked {
        let (request, began, ended) = self.next();
        self.told.looked.push(Looked { customer: customer.to_owned(), sight, request, began, ended });
        self.told.looked.last_mut().expect("it was pushed")
    }

    /// Shows it in a state, by a request that was under way all the time.
    pub fn show_as(&mut self, id: &str, state: State) -> &mut Shown {
        let shown = Shown { state, began: Duration::ZERO, ended: LATE, ..self.shown_now(id) };
        self.told.shown.push(shown);
        self.told.shown.last_mut().expect("it was pushed")
    }
}

fn of(kind: Kind, accounts: Option<(&str, &str)>, amount: u64, pending: Option<&str>) -> Transfer {
    Transfer {
        kind,
        debit: accounts.map(|(debit, _)| debit.to_owned()),
        credit: accounts.map(|(_, credit)| credit.to_owned()),
        amount,
        pending: pending.map(str::to_owned),
    }
}
