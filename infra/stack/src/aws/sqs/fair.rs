//! Fair delivery: whose message comes next where messages name groups.
//!
//! On AWS a group with many messages in flight waits behind the others. Here the message of the group with the fewest in
//! flight always comes first, and of groups alike the oldest: so ten tenants with one message each do not wait for the
//! ten thousand of an eleventh. <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>

use std::collections::VecDeque;

use rusqlite::{Connection, params};

/// The messages of one group that can be received; none is the group of all that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: Option<String>,
    /// How many of its messages are in flight.
    pub(super) in_flight: u64,
    /// Since when its first message could be received, in milliseconds.
    pub(super) oldest_ms: i64,
}

/// Lists the groups of a queue that have something to receive, those first that are served first; at most as many as
/// messages are wanted. None if no message of the queue names a group.
pub(super) fn groups(
    db: &Connection,
    queue: &str,
    real: i64,
    now: i64,
    most: usize,
) -> rusqlite::Result<Option<Vec<Group>>> {
    let mut select = db.prepare_cached(
        "SELECT message_group, sum(in_flight = 1 AND hidden_until_ms > ?2),
         min(CASE WHEN hidden_until_ms <= ?2 AND delayed_until_ms <= ?3 THEN hidden_until_ms END)
         FROM message WHERE queue = ?1 AND message_group IS NOT NULL GROUP BY message_group",
    )?;
    let rows = select.query_map(params![queue, real, now], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let named: Vec<(String, u64, Option<i64>)> = rows.collect::<rusqlite::Result<_>>()?;
    if named.is_empty() {
        return Ok(None);
    }
    let mut select = db.prepare_cached(
        "SELECT coalesce(sum(in_flight = 1 AND hidden_until_ms > ?2), 0),
         min(CASE WHEN hidden_until_ms <= ?2 AND delayed_until_ms <= ?3 THEN hidden_until_ms END)
         FROM message WHERE queue = ?1 AND message_group IS NULL",
    )?;
    let unnamed = select.query_row(params![queue, real, now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let all = named
        .into_iter()
        .map(|(name, in_flight, oldest)| (Some(name), in_flight, oldest));
    let all = all.chain([(None, unnamed.0, unnamed.1)]);
    let mut groups: Vec<Group> = all
        .filter_map(|(name, in_flight, oldest)| {
            Some(Group {
                name,
                in_flight,
                oldest_ms: oldest?,
            })
        })
        .collect();
    groups.sort_by(|a, b| (a.in_flight, a.oldest_ms, &a.name).cmp(&(b.in_flight, b.oldest_ms, &b.name)));
    // Each has a message, so whoever stands behind as many groups gets no turn.
    groups.truncate(most);
    Ok(Some(groups))
}

/// Takes messages of groups in turn: always one of the group that then has the fewest in flight. The groups stand in
/// the order of [`groups`], each with its messages, which begin with the one that goes first.
pub(super) fn take_turns<M>(groups: Vec<(Group, Vec<M>)>, most: usize) -> Vec<M> {
    let mut waiting: Vec<(u64, VecDeque<M>)> = groups
        .into_iter()
        .map(|(group, messages)| (group.in_flight, messages.into()))
        .collect();
    let mut taken = Vec::new();
    while taken.len() < most {
        // The first of the least: groups alike keep their order.
        let next = waiting
            .iter_mut()
            .filter(|(_, messages)| !messages.is_empty())
            .min_by_key(|(in_flight, _)| *in_flight);
        let Some((in_flight, messages)) = next else { break };
        taken.extend(messages.pop_front());
        *in_flight += 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(groups: &[(&str, u64, usize)], most: usize, expected: &str) {
        let with_messages = |(name, in_flight, count): &(&str, u64, usize)| {
            let group = Group {
                name: Some((*name).to_owned()),
                in_flight: *in_flight,
                oldest_ms: 0,
            };
            (group, (0..*count).map(|number| format!("{name}{number}")).collect())
        };
        let taken = take_turns(groups.iter().map(with_messages).collect(), most);
        assert_eq!(taken.join(" "), expected);
    }

    #[test]
    fn groups_take_turns_and_who_has_much_in_flight_waits() {
        check(&[("a", 0, 9), ("b", 0, 1), ("c", 0, 2)], 6, "a0 b0 c0 a1 c1 a2");
        check(&[("b", 0, 3), ("a", 2, 9)], 4, "b0 b1 b2 a0");
        check(&[("b", 1, 1), ("a", 40, 9)], 3, "b0 a0 a1");
        check(&[("a", 0, 2)], 5, "a0 a1");
        check(&[], 5, "");
    }
}
