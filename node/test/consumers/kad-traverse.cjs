// The real kad-traverse, unchanged, with nat-upnp replaced by `overrides` in package.json: makes a node of kad reachable.
// The node is the least that the package needs; its port is the argument.

const { UPNPStrategy } = require('kad-traverse');

const port = Number(process.argv[2]);
const strategy = new UPNPStrategy({ publicPort: port + 1, mappingTtl: 0 });
const node = { contact: { hostname: '127.0.0.1', port } };
strategy.exec(node, (error) => {
  if (error) throw error;
  console.log(JSON.stringify(node.contact));
  process.stdin.resume().once('end', () => strategy.client.close());
});
