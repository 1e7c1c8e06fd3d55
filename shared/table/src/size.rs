//! How large items are, as DynamoDB counts: its bounds are in these bytes.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::Item;

/// DynamoDB stores an item of at most so many bytes, …
pub const ITEM_BYTES: usize = 400 * 1024;
/// … and does a transaction of at most so many.
pub const TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// The names and values of an item.
pub(crate) fn of_item(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + of_value(value)).sum()
}

/// A value. Numbers are counted with one byte for two digits and two more, which is the most that they take.
pub(crate) fn of_value(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => of_number(digits),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|digits| of_number(digits)).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        // Three bytes for a list or map, and one for each of its members.
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + of_value(value)).sum::<usize>(),
        AttributeValue::M(members) => 3 + of_item(members) + members.len(),
        _ => 1,
    }
}

fn of_number(digits: &str) -> usize {
    digits.len().div_ceil(2) + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_documentation() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        assert_eq!(of_value(&text("é")), 2);
        assert_eq!(of_value(&AttributeValue::Bool(true)), 1);
        assert_eq!(of_value(&AttributeValue::N("12345".to_owned())), 5);
        assert_eq!(of_value(&AttributeValue::L(vec![text("ab"), text("c")])), 3 + 3 + 2);
        let member = Item::from([("name".to_owned(), text("Ada"))]);
        assert_eq!(of_item(&member), 7);
        assert_eq!(of_value(&AttributeValue::M(member)), 3 + 7 + 1);
    }
}
