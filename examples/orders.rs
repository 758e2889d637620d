//! An order's life in an event store of three nodes: `cargo run --features event-store --example orders`.
//!
//! It is placed, paid and shipped, each through another node; somebody is too late and tries again; orders are found by
//! status and by customer; and a subscriber goes on where it stopped when its node comes back. Whatever it says, it has
//! checked.

use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use quorate::event_store::{
    AggregateId, Append, AppendError, Event, EventStore, Executor, Filter, Index, NewEvent, Options,
    Position, Projection,
};
use quorate::{Codec, Config, DecodeError};

const PATIENCE: Duration = Duration::from_secs(10);

/// What the events of an order amount to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Order {
    cents_open: u64,
    is_shipped: bool,
}

impl Projection for Order {
    fn initial(_: &AggregateId) -> Self {
        Self::default()
    }

    fn fold(&mut self, event: &Event) -> Result<(), DecodeError> {
        match event.event_type.as_str() {
            "placed" => self.cents_open = event.value()?,
            "paid" => self.cents_open -= event.value::<u64>()?,
            "shipped" => self.is_shipped = true,
            _ => {}
        }
        Ok(())
    }
}

/// As a snapshot: the cents that are open, then whether it is shipped.
impl Codec for Order {
    fn encode(&self, out: &mut Vec<u8>) {
        self.cents_open.encode(out);
        self.is_shipped.encode(out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (cents, shipped) =
            bytes.split_at_checked(8).ok_or_else(|| DecodeError::new("no order is so short"))?;
        Ok(Self { cents_open: u64::decode(cents)?, is_shipped: bool::decode(shipped)? })
    }
}

/// An order's status is what last happened to it.
fn start(config: Config) -> Result<EventStore, Box<dyn Error>> {
    let options = Options::default().indexer(|event| Index::new().status(&event.event_type));
    Ok(EventStore::start(config, options)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let sockets = [1, 2, 3].map(|id| (id, TcpListener::bind("127.0.0.1:0").expect("a free port")));
    let addresses =
        sockets.each_ref().map(|(id, socket)| (*id, socket.local_addr().expect("bound").to_string()));
    let config = |id: u64| {
        let address = &addresses[id as usize - 1].1;
        Config::new(id, directory.path().join(id.to_string()), address).bootstrap(addresses.clone())
    };
    let third_socket = sockets[2].1.try_clone()?; // its port stays its own while it is away
    let mut stores = Vec::new();
    for (id, socket) in sockets {
        stores.push(start(config(id).listener(socket))?);
    }

    // Placed, through one node; somebody who saw nothing of it is told what he missed.
    let (pears, plums) = (AggregateId::new(["order", "1"])?, AggregateId::new(["order", "2"])?);
    let placed = |cents: u64| NewEvent::of("placed", &cents);
    stores[0].append(Append::to(&pears, 0).events([placed(1_250)]).label("customer", "Ada"))?;
    stores[1].append(Append::to(&plums, 0).events([placed(300)]).label("customer", "Ada"))?;
    let late = stores[2].append(Append::to(&pears, 0).events([placed(99)]));
    let Err(AppendError::Conflict(conflict)) = late else { panic!("it was placed already: {late:?}") };
    assert_eq!((conflict.actual, conflict.events.len()), (1, 1));
    println!("too late: {conflict}");

    // Paid, through another: while the command is decided somebody else pays a part, and it is decided anew.
    let orders = Executor::<Order>::new(&stores[1]);
    let mut tries = 0;
    let paid = orders.execute(&pears, |order| {
        tries += 1;
        if tries == 1 {
            let part = NewEvent::of("paid", &1_000_u64);
            stores[0].append(Append::to(&pears, 1).events([part])).expect("nobody else is at it");
        }
        let open = order.state().cents_open;
        if open == 0 {
            return Err("it is paid already");
        }
        order.raise(NewEvent::of("paid", &open));
        Ok(open)
    })?;
    assert_eq!((tries, paid), (2, 250));
    println!("paid the last {paid} cents at the second try");

    // Found by status and by label, on any node.
    let of_status = |status| {
        stores[2].with_status(status).map(|rows| rows.into_iter().map(|row| row.aggregate).collect())
    };
    let (placed, paid): (Vec<_>, Vec<_>) = (of_status("placed")?, of_status("paid")?);
    assert_eq!((&placed[..], &paid[..]), (&[plums.clone()][..], &[pears.clone()][..]));
    assert_eq!(stores[2].with_label("customer", "Ada")?, [pears.clone(), plums]);
    println!(
        "to be paid: {placed:?}; to be shipped: {paid:?}; both of customer {:?}",
        stores[0].label_values("customer")?
    );

    // A subscriber reads three events on the third node, and keeps its position.
    let mut seen = Vec::new();
    let mut subscription =
        stores[2].subscribe(Position::START, Filter::prefix(AggregateId::new(["order"])?))?;
    for delivered in subscription.by_ref().take(3) {
        seen.push(delivered?.event.event_type);
    }
    let position = subscription.next_position();

    // Its node goes, the order is shipped meanwhile, and the node comes back.
    let third = stores.pop().expect("there are three");
    third.shutdown(PATIENCE)?;
    drop(third);
    orders.execute(&pears, |order| {
        order.raise(NewEvent::new("shipped", ""));
        Ok::<_, &str>(())
    })?;
    stores.push(start(config(3).listener(third_socket))?);

    // It goes on where it stopped: nothing is lost, and nothing comes twice.
    for delivered in stores[2].subscribe(position, Filter::all())?.take(2) {
        seen.push(delivered?.event.event_type);
    }
    assert_eq!(seen, ["placed", "placed", "paid", "paid", "shipped"]);
    println!("seen over a restart: {seen:?}");
    let order = orders.get(&pears)?;
    assert_eq!(*order, Order { cents_open: 0, is_shipped: true });
    println!("and in the end: {order:?}");

    for store in stores {
        store.shutdown(PATIENCE)?;
    }
    Ok(())
}
