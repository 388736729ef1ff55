// A registry on loopback that has the packages of one folder, so that they are installed as users do it.
//   node registry.mjs FOLDER      prints its URL, and ends with its standard input

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [folder] = process.argv.slice(2);

function described(file) {
  const manifest = JSON.parse(execFileSync('tar', ['-xOzf', join(folder, file), 'package/package.json']));
  const integrity = `sha512-${createHash('sha512')
    .update(readFileSync(join(folder, file)))
    .digest('base64')}`;
  return { file, manifest, integrity };
}

const packages = new Map(
  readdirSync(folder)
    .filter((file) => file.endsWith('.tgz'))
    .map((file) => described(file))
    .map((one) => [one.manifest.name, one]),
);

/** What a registry says of a package: its versions, of which there is one, and where they are. */
function answer({ file, manifest, integrity }, host) {
  const { name, version } = manifest;
  const dist = { tarball: `http://${host}/-/${file}`, integrity };
  return { name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifest, dist } } };
}

const server = createServer(({ url, headers: { host } }, response) => {
  const path = decodeURIComponent(url.slice(1));
  const found = packages.get(path);
  if (found) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answer(found, host)));
  } else if ([...packages.values()].some(({ file }) => path === `-/${file}`)) {
    response.end(readFileSync(join(folder, path.slice(2))));
  } else {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
  }
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`));
process.stdin.resume().on('end', () => process.exit());
