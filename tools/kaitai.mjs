// Compiles a Kaitai Struct description: `node tools/kaitai.mjs spec/kvc.ksy LANGUAGE DIRECTORY`.
// It needs `npm ci --prefix tools`, or a folder whose node_modules has the packages in KAITAI_MODULES.
//
// The parser made keeps what it had read when a rule broke, and is told to read (`_read()`): the compiler calls this
// debug mode. A reader needs it to say which field a damaged section was damaged at.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const KEEPS_WHAT_IT_READ = true;

const [source, language, directory] = process.argv.slice(2);
if (directory === undefined) {
  console.error('usage: node tools/kaitai.mjs FILE.ksy LANGUAGE DIRECTORY');
  process.exit(2);
}
const home = process.env.KAITAI_MODULES;
const require = createRequire(home === undefined ? import.meta.url : pathToFileURL(join(home, 'package.json')));
try {
  const compiler = require('kaitai-struct-compiler');
  const description = require('js-yaml').load(readFileSync(source, 'utf8'));
  const files = await compiler.compile(language, description, null, KEEPS_WHAT_IT_READ);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, basename(name)), text);
} catch (error) {
  console.error(`${source}: ${error.message ?? error}`);
  if (error.code === 'MODULE_NOT_FOUND') console.error('the compiler is not here: npm ci --prefix tools');
  process.exit(1);
}
