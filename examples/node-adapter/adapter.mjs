// The adapter around kvc.mjs (spec/conformance.md, chapter 4): `node adapter.mjs` speaks the session,
// `node adapter.mjs read FILE [--profile P] [--name NAME]` is the one-shot form.

import { createInterface } from 'node:readline';
import { PROFILES, Rejection, read } from './kvc.mjs';

const DESCRIPTION = {
  implementation: 'kvc.mjs',
  version: '1',
  language: 'JavaScript',
  operations: ['read'],
  profiles: PROFILES,
  behaviours: { 'trailing-bytes': 'mentions' },
};
const UNSUPPORTED_STATUS = 77;

function answer({ op: operation, input, profile, name, arguments: told }) {
  if (operation !== 'read') return { result: 'unsupported', reason: `no operation ${operation}` };
  if (!PROFILES.includes(profile)) return { result: 'unsupported', reason: `no profile ${profile}` };
  try {
    const limit = told.text_bytes_max === undefined ? undefined : BigInt(told.text_bytes_max);
    return { result: 'accept', view: read(input, { profile, name, textBytesMax: limit }) };
  } catch (error) {
    if (error instanceof Rejection) {
      const { category, clause, field, message } = error;
      return { result: 'reject', category, clause, field, message };
    }
    return { result: 'error', message: String(error.message) }; // of the operating system, or a mistake of ours
  }
}

async function session() {
  const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const request = JSON.parse(line);
    if (request.cmd === 'start') {
      if (request.protocol !== 1) throw new Error(`protocol ${request.protocol} is not known, 1 is`);
      say(DESCRIPTION);
    } else if (request.cmd === 'run') {
      say({ seq: request.seq, ...answer(request) });
    } else if (request.cmd === 'stop') {
      process.stdin.destroy(); // the runner need not close it, and Node lives as long as it is open
      return 0;
    } else {
      throw new Error(`no command ${request.cmd}`);
    }
  }
  return 0;
}

function oneShot([op, input, ...options]) {
  const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
  if (op === 'start') {
    say(DESCRIPTION);
    return 0;
  }
  const told = { '--profile': 'auto', '--name': null, '--output': null, '--arguments': '{}' };
  for (let i = 0; i < options.length; i += 2) {
    if (!(options[i] in told) || i + 1 >= options.length) throw new Error(`what is ${options[i]}?`);
    told[options[i]] = options[i + 1];
  }
  const { '--profile': profile, '--name': name, '--arguments': written } = told;
  const { result, view, ...said } = answer({ op, input, profile, name, arguments: JSON.parse(written) });
  if (result === 'error') throw new Error(said.message);
  if (result === 'accept') say(view);
  if (result === 'reject') say(said);
  return { accept: 0, reject: 1, unsupported: UNSUPPORTED_STATUS }[result];
}

try {
  const words = process.argv.slice(2);
  process.exitCode = words.length === 0 ? await session() : oneShot(words);
} catch (error) {
  process.stderr.write(`adapter: ${error.message}\n`);
  process.exitCode = 2;
}
