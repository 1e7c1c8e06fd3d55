// GET /v1/auth/me: an EdDSA token is verified, the person and their session are read, the person is read again and
// shown, as ours does. Node's own `crypto` verifies: jsonwebtoken knows no EdDSA, and jose takes longer.

import { createPublicKey, verify } from 'node:crypto';
import { peek, read } from './store.mjs';
import { Problem, serve } from './reply.mjs';

const keys = new Map(JSON.parse(process.env.JWT_PUBLIC_KEYS).keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: 'jwk' })]));
const part = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());
const refused = () => new Problem(401, 'not_authenticated', 'send a valid access token as `Authorization: Bearer`');

const claims = (event, now) => {
  const [scheme, token] = (event.headers.authorization ?? '').split(' ');
  if (scheme.toLowerCase() !== 'bearer' || !token || token.length > 2048) throw refused();
  const [head, payload, signature] = token.split('.');
  let header;
  let said;
  try {
    header = part(head);
    said = part(payload);
  } catch {
    throw refused();
  }
  const key = header.alg === 'EdDSA' && keys.get(header.kid);
  const signed = key && verify(null, Buffer.from(`${head}.${payload}`), key, Buffer.from(signature ?? '', 'base64url'));
  if (!signed || header.typ !== 'at+jwt' || said.iss !== process.env.PUBLIC_URL || said.aud !== process.env.PUBLIC_URL || said.iat > now / 1000 + 30) throw refused();
  if (said.exp <= now / 1000) throw new Problem(401, 'token_expired', 'the access token has expired');
  return said;
};

const me = async (event) => {
  const now = Date.now();
  const { sub, sid } = claims(event, now);
  const [user, session] = await Promise.all([peek(`USER#${sub}`, 'USER'), peek(`USER#${sub}`, `SESSION#${sid}`)]);
  if (!user) throw refused();
  if (user.status.S !== 'active') throw new Problem(401, 'deactivated', 'this person was deactivated');
  if (!session || now >= Date.parse(session.until.S)) throw new Problem(401, 'session_ended', 'the session has ended');
  const shown = await read(`USER#${sub}`, 'USER', true);
  return [200, {
    id: shown.id.S, email: shown.email.S, name: shown.name.S, role: shown.role.S, status: shown.status.S,
    createdAt: shown.createdAt.S,
  }];
};

export const handler = serve({ 'GET /v1/auth/me': me });
