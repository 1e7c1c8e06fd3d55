//! Lists in a second order: a record may stand in both indexes of its table, in one or in none.

use serde::{Deserialize, Serialize};
use table::{Key, Query, Record, Slice, TableName, Write};
use testing::TestApp;

/// Something with a status and a due date, which is listed by either.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bill {
    number: u32,
    status: Option<String>,
    due: Option<u32>,
    #[serde(default)]
    version: u64,
}

impl Record for Bill {
    const KIND: &'static str = "bill";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of("ORG#1", format!("BILL#{:04}", self.number))
    }

    fn index1(&self) -> Option<Key> {
        let status = self.status.as_ref()?;
        Some(Key::of(format!("ORG#1#{status}"), format!("{:04}", self.number)))
    }

    fn index2(&self) -> Option<Key> {
        Some(Key::of("ORG#1#DUE", format!("{:04}", self.due?)))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn bill(number: u32, status: Option<&str>, due: Option<u32>) -> Bill {
    Bill {
        number,
        status: status.map(str::to_owned),
        due,
        version: 0,
    }
}

/// Reads a list page by page; yields the numbers of its bills.
async fn numbers(app: &TestApp, list: impl Fn(Slice) -> Query) -> Vec<u32> {
    let (mut numbers, mut after) = (Vec::new(), None);
    loop {
        let page = app
            .table()
            .query::<Bill>(list(Slice { limit: 2, after }))
            .await
            .unwrap();
        numbers.extend(page.records.iter().map(|bill| bill.number));
        after = page.next;
        if after.is_none() {
            return numbers;
        }
    }
}

#[tokio::test]
async fn a_record_is_listed_in_two_orders() {
    let app = TestApp::start().await;
    let bills = [
        bill(1, Some("OPEN"), Some(30)),
        bill(2, Some("OPEN"), Some(10)),
        bill(3, Some("PAID"), None),
        bill(4, Some("OPEN"), Some(20)),
        bill(5, None, Some(5)),
        bill(6, None, None),
    ];
    let writes: Vec<_> = bills.iter().map(|bill| Write::create(bill).unwrap()).collect();
    app.table().write(writes).await.unwrap();
    let open = |slice| Query::slice("ORG#1#OPEN", slice).index1();
    let due = |slice| Query::slice("ORG#1#DUE", slice).index2();
    assert_eq!(numbers(&app, open).await, [1, 2, 4]);
    assert_eq!(numbers(&app, due).await, [5, 2, 4, 1]);
    assert_eq!(numbers(&app, |slice| due(slice).descending()).await, [1, 4, 2, 5]);
    assert_eq!(numbers(&app, |slice| due(slice).between("0010", "0020")).await, [2, 4]);
    assert_eq!(
        numbers(&app, |slice| Query::slice("ORG#1", slice)).await,
        [1, 2, 3, 4, 5, 6]
    );
}

#[tokio::test]
async fn a_record_leaves_the_order_that_it_has_no_place_in_any_more() {
    let app = TestApp::start().await;
    app.table()
        .write([Write::create(&bill(1, Some("OPEN"), Some(30))).unwrap()])
        .await
        .unwrap();
    let stored: Option<Bill> = app.table().get(&bill(1, None, None).key()).await.unwrap();
    let paid = Bill {
        status: Some("PAID".into()),
        due: None,
        ..stored.unwrap()
    };
    app.table().write([Write::replace(&paid).unwrap()]).await.unwrap();
    assert_eq!(
        numbers(&app, |slice| Query::slice("ORG#1#DUE", slice).index2()).await,
        Vec::<u32>::new()
    );
    assert_eq!(
        numbers(&app, |slice| Query::slice("ORG#1#PAID", slice).index1()).await,
        [1]
    );
}
