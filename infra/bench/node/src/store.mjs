// DynamoDB and a small memory of what was read a moment ago.

import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';

const TABLE = process.env.TABLE_IDENTITY;
const AGE = 30_000;
const MOST = 4_096;

const client = new DynamoDBClient({ region: process.env.AWS_REGION });

/** Reads a record; undefined if there is none. */
export const read = async (pk, sk, consistent) => {
  const { Item } = await client.send(new GetItemCommand({
    TableName: TABLE, Key: { pk: { S: pk }, sk: { S: sk } }, ConsistentRead: consistent,
  }));
  return Item;
};

/** Reads for half the price; absence is made sure of. */
export const peek = async (pk, sk) => (await read(pk, sk, false)) ?? (await read(pk, sk, true));

/** Remembers values for 30 seconds, at most so many. */
export class Recent {
  #entries = new Map();

  get(key, now) {
    const entry = this.#entries.get(key);
    return entry && now - entry.at < AGE ? entry.value : undefined;
  }

  put(key, value, now) {
    if (this.#entries.size >= MOST) this.#entries.clear();
    this.#entries.set(key, { at: now, value });
  }
}
