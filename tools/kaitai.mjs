// Compiles a Kaitai Struct description: `node tools/kaitai.mjs spec/kvc.ksy LANGUAGE DIRECTORY [--partial]`.
// It needs `npm ci --prefix tools`, or a folder whose node_modules has the packages in KAITAI_MODULES.
//
// With --partial the parser keeps what it had read when a rule broke, and is told to read (`_read()`): the compiler
// calls this debug mode, and has it for some languages only. A reader needs it to say where a section is damaged.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';

function modules() {
  const home = process.env.KAITAI_MODULES;
  const require = createRequire(home === undefined ? import.meta.url : pathToFileURL(join(home, 'package.json')));
  return { compiler: require('kaitai-struct-compiler'), yaml: require('js-yaml') };
}

async function main(source, language, directory, isPartial) {
  const { compiler, yaml } = modules();
  if (!compiler.languages.includes(language)) {
    throw new Error(`no language ${language}; there are ${compiler.languages.join(', ')}`);
  }
  const files = await compiler.compile(language, yaml.load(readFileSync(source, 'utf8')), null, isPartial);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, basename(name)), text);
}

try {
  const options = { partial: { type: 'boolean', default: false } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length !== 3) throw new Error('usage: node tools/kaitai.mjs FILE.ksy LANGUAGE DIRECTORY [--partial]');
  await main(...positionals, values.partial);
} catch (error) {
  const missing = error.code === 'MODULE_NOT_FOUND';
  console.error(missing ? 'the compiler is not here: npm ci --prefix tools' : `${error.message ?? error}`);
  process.exitCode = 1;
}
