// POST /v1/ingest/event and /v1/ingest/events: the key is checked (30 s remembered), each event judged by the same
// rules as ours, and all of them sent compressed as one message.

import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from './crc32.mjs';
import { deflateRawSync } from 'node:zlib';
import { SQSClient, SendMessageCommand } from '@aws-sdk/client-sqs';
import { Recent, read } from './store.mjs';
import { Problem, serve } from './reply.mjs';

const QUEUE = process.env.EVENT_QUEUE_URL;
const LONGEST_BODY = 1024 * 1024;
const AHEAD = 5 * 60_000;
const LATE = 400 * 86_400_000;
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const FIELDS = new Set(['id', 'type', 'name', 'userId', 'payload', 'metadata', 'occurredAt']);

// The queue's URL names AWS; the emulated service is elsewhere.
const sqs = new SQSClient({ region: process.env.AWS_REGION, useQueueUrlAsEndpoint: false });
const apiKeys = new Recent();
const unknownKey = () => new Problem(401, 'bad_api_key', 'this API key is unknown, revoked or expired');

const checksum = (text) => {
  let rest = crc32(text);
  let digits = '';
  for (let n = 0; n < 6; n += 1) {
    digits = BASE62[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
};

const open = async (secret, now) => {
  const hash = createHash('sha256').update(secret).digest('hex');
  const known = apiKeys.get(hash, now);
  if (known) return known;
  const to = await read(`KEY#${hash}`, 'KEY', true);
  if (!to) throw unknownKey();
  const [key, project, org] = await Promise.all([
    read(`PRJ#${to.project.S}`, `KEY#${to.key.S}`, true),
    read(`ORG#${to.org.S}`, `PROJECT#${to.project.S}`, true),
    read(`ORG#${to.org.S}`, 'ORG', true),
  ]);
  if (!key || !project || !org || org.deletedAt?.S) throw unknownKey();
  const found = { id: to.key.S, org: to.org.S, project: to.project.S, until: key.until?.S, disabled: key.disabled.BOOL, revoked: key.revokedAt?.S };
  apiKeys.put(hash, found, now);
  return found;
};

const authenticate = async (event, now) => {
  const secret = event.headers['x-api-key'];
  if (!secret) throw new Problem(401, 'missing_api_key', 'send your API key as `x-api-key`');
  if (!/^ch_(live|test)_[0-9A-Za-z]{36}$/.test(secret) || checksum(secret.slice(0, -6)) !== secret.slice(-6)) throw unknownKey();
  const key = await open(secret, now);
  if (key.revoked || (key.until && Date.parse(key.until) <= now)) throw unknownKey();
  if (key.disabled) throw new Problem(401, 'api_key_disabled', 'this API key is disabled');
  return key;
};

const isText = (value, most) => typeof value === 'string' && value.length >= 1 && value.length <= most;

/** What is wrong with an event, or nothing. */
const fault = (event, now) => {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return 'must be an object';
  for (const field in event) if (!FIELDS.has(field)) return `\`${field}\` is not a field`;
  if (typeof event.type !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(event.type)) return '`type` must be 1 to 64 letters, digits, `_`, `.` or `-`';
  if (!isText(event.name, 1000)) return '`name` must have 1 to 1000 characters';
  if (event.id != null && !isText(event.id, 200)) return '`id` must have 1 to 200 characters';
  if (event.userId != null && !isText(event.userId, 200)) return '`userId` must have 1 to 200 characters';
  if (event.occurredAt != null) {
    const at = Date.parse(event.occurredAt);
    if (!(at <= now + AHEAD)) return '`occurredAt` must not be more than 5 minutes ahead';
    if (at < now - LATE) return '`occurredAt` must not be more than 400 days back';
  }
  return undefined;
};

const accept = (event, now) => ({
  kind: event.type, name: event.name, userId: event.userId, payload: event.payload, metadata: event.metadata,
  occurredAtMs: event.occurredAt == null ? now : Date.parse(event.occurredAt), clientId: event.id,
});

const parse = (event) => {
  const text = event.isBase64Encoded ? Buffer.from(event.body, 'base64').toString() : event.body ?? '';
  if (text.length > LONGEST_BODY) throw new Problem(413, 'too_large', 'the body is too large');
  if (!(event.headers['content-type'] ?? '').startsWith('application/json')) throw new Problem(415, 'unsupported_media_type', 'send application/json');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem(400, 'malformed_json', `the body is not JSON: ${error.message}`);
  }
};

const send = async (key, events, now) => {
  const body = JSON.stringify({
    org: key.org, project: key.project, key: key.id, receivedAt: new Date(now).toISOString(),
    chunk: randomBytes(8).toString('hex'), events: deflateRawSync(JSON.stringify(events)).toString('base64'),
  });
  await sqs.send(new SendMessageCommand({ QueueUrl: QUEUE, MessageBody: body }));
};

const one = async (request) => {
  const now = Date.now();
  const key = await authenticate(request, now);
  const event = parse(request);
  const detail = fault(event, now);
  if (detail) throw new Problem(422, 'invalid', detail);
  await send(key, [accept(event, now)], now);
  return [202, { status: 'queued', accepted: 1, rejected: [] }];
};

const many = async (request) => {
  const now = Date.now();
  const key = await authenticate(request, now);
  const { events, ...rest } = parse(request);
  if (!Array.isArray(events) || Object.keys(rest).length > 0) throw new Problem(400, 'malformed', 'send {"events":[…]}');
  if (events.length < 1 || events.length > 1000) throw new Problem(422, 'invalid', '`events` must have 1 to 1000 events');
  const good = [];
  const rejected = [];
  events.forEach((event, index) => {
    const detail = fault(event, now);
    if (detail) rejected.push({ index, code: 'invalid', detail });
    else good.push(accept(event, now));
  });
  if (good.length > 0) await send(key, good, now);
  return [202, { status: 'queued', accepted: good.length, rejected }];
};

export const handler = serve({ 'POST /v1/ingest/event': one, 'POST /v1/ingest/events': many });
