// The provider that logging in is tested against: oidc-provider, with its own pages for login and consent.
//
// Prints the port it listens on. Then each line of JSON on stdin, {clients, algorithm, emailInToken}, makes it a provider
// with new keys, which it says by "ready": the addresses that clients come back to are not known before. Ends with stdin.
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';
import { Provider } from 'oidc-provider';

// An account is called as its person typed it in. Whatever begins with "unverified" has no verified address; "second-…"
// is another account with the address of the first.
const findAccount = (_, id) => ({
  accountId: id,
  claims: () => ({
    sub: id,
    email: id.replace(/^second-/, ''),
    email_verified: !id.startsWith('unverified'),
    name: `Person ${id.split('@')[0]}`,
  }),
});

const newKey = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

let answer;
let keys = 0;
const server = http.createServer((request, response) => {
  if (answer) answer(request, response);
  else response.writeHead(503).end();
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { clients, algorithm, emailInToken } = JSON.parse(line);
  const key = newKey[algorithm]().privateKey.export({ format: 'jwk' });
  keys += 1;
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients: clients.map((client) => ({ id_token_signed_response_alg: algorithm, ...client })),
    jwks: { keys: [{ ...key, kid: `key-${keys}`, use: 'sig' }] },
    findAccount,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    // Whether the ID token tells the address, or only the userinfo endpoint does.
    conformIdTokenClaims: !emailInToken,
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
  });
  answer = provider.callback();
  console.log('ready');
});
lines.on('close', () => process.exit(0));
